"""Every status that the contract declares of an operation happens, and no other."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import closing
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg2
import pytest

from db.replays import lock_of
from handlers import calendars, health, overviews, tasks, users
from handlers.context import Context
from openapi.server.app import App
from openapi.settings import load_settings
from tests.support.cases import for_each
from tests.support.databases import COMPUTE_COLUMNS, administration, away, store_task
from tests.support.issuer import running_issuer
from tests.support.operations import OPERATIONS, Operation, ask, assert_as_described
from tests.support.servers import serving, trusting
from tests.support.users import User

NOWHERE = "postgresql:///nowhere"
NO_FILE = f"{'x' * 43}.ics"
BROKEN = {
    **{name: str(uuid4()) for name in ("user_id", "task_id", "list_id")},
    "file": NO_FILE,
}
UNKNOWN = {"task_id": str(uuid4()), "list_id": str(uuid4()), "file": NO_FILE}
SMALL = 500
FAILING = {
    "get_me": users,
    "list_occurrences": tasks,
    "get_summary": overviews,
    "get_calendar": calendars,
    "show_calendar": calendars,
    "get_liveness": health,
    "get_readiness": health,
}
"""The operations that no data in the database makes fail, with the modules of their handlers."""
CREATIONS = [OPERATIONS["create_task"], OPERATIONS["create_list"]]

Servers = Callable[[str], str]
Way = Callable[[Operation, Servers], httpx.Response]


@pytest.fixture(scope="module")
def broken_app() -> App:
    """An application with handlers that fail."""

    def broken(name: str, module: ModuleType) -> Callable[..., Any]:
        async def fail(context: Context, **_: object) -> None:
            raise RuntimeError("because")

        vars(fail)["__signature__"] = inspect.signature(getattr(module, name))
        return fail

    with pytest.MonkeyPatch.context() as patch:
        for name, module in FAILING.items():
            patch.setattr(module, name, broken(name, module))
        return App(load_settings(database_url=NOWHERE))


@pytest.fixture(scope="module")
def small_server(new_database: Callable[[], str]) -> Iterator[str]:
    """A server with a low limit of bodies."""
    with serving(
        DATABASE_URL=new_database(), ERRAND_BODY_LIMIT=str(SMALL), ERRAND_IMPORT_LIMIT=str(SMALL)
    ) as url:
        yield url


@pytest.fixture(scope="module")
def sparing_server(new_database: Callable[[], str]) -> Iterator[str]:
    """A server with a quota of one request a minute."""
    with serving(DATABASE_URL=new_database(), ERRAND_RATE_LIMIT="1") as url:
        yield url


@pytest.fixture(scope="module")
def strict_server(new_database: Callable[[], str]) -> Iterator[str]:
    """A server that requires If-Match."""
    with serving(DATABASE_URL=new_database(), ERRAND_REQUIRE_IF_MATCH="on") as url:
        yield url


@pytest.fixture(scope="module")
def lonely_server(new_database: Callable[[], str], postgres_url: str) -> Iterator[str]:
    """A server whose database is away."""
    database_url = new_database()
    server = serving(DATABASE_URL=database_url, ERRAND_WAIT_TIMEOUT="0.1")
    with server as url, away(database_url, postgres_url):
        yield url


@pytest.fixture(scope="module")
def broken_server(new_database: Callable[[], str]) -> Iterator[str]:
    """A server whose database holds what breaks the contract, and fails other writes."""
    database_url = new_database()
    with administration(database_url) as execute:
        store_task(execute, BROKEN["user_id"], BROKEN["task_id"], title="")
        execute(
            """UPDATE tasks SET tags = '[""]', tag_keys = '["x"]', reminder_times = '["now"]'"""
        )
        execute(
            "INSERT INTO lists (user_id, id, title, position, revision)"
            f" VALUES ('{BROKEN['user_id']}', '{BROKEN['list_id']}', '', 'a', 1)"
        )
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
            " SELECT user_id, gen_random_uuid(), title, revision, now() FROM tasks"
        )
        execute(COMPUTE_COLUMNS)
        execute(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE 'because'; END $$"
        )
        execute(f"INSERT INTO calendars (user_id, secret_hash) VALUES ('{BROKEN['user_id']}', 'x')")
        for table in ("tasks", "lists", "calendars"):
            fail = f"CREATE TRIGGER fail BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            execute(f"{fail} EXECUTE FUNCTION fail()")
        execute("CREATE TRIGGER fail BEFORE DELETE ON users EXECUTE FUNCTION fail()")
    with serving(DATABASE_URL=database_url) as url:
        yield url


@pytest.fixture(scope="module")
def keyless_server(database_url: str) -> Iterator[str]:
    """A server whose issuer of tokens is away."""
    with running_issuer() as issuer:
        settings = trusting(issuer)
    with serving(DATABASE_URL=database_url, **settings) as url:
        yield url


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Servers:
    """Servers by their names, each started on first use."""

    def named(name: str) -> str:
        url: str = request.getfixturevalue(name)
        return url

    return named


def ordinary(operation: Operation, servers: Servers, **options: Any) -> httpx.Response:
    """A valid request, but for these options."""
    with User(servers("server")) as user:
        task = user.creates().document
        ids = {"user_id": user.id, "task_id": task["id"]}
        return ask(user, operation, ids=ids, **options)


def toggling(task_id: str, **more: Any) -> dict[str, Any]:
    """A batch that toggles this task."""
    return {"json": {"operations": [{"op": "toggle", "id": task_id, **more}]}}


def of_another_version(operation: Operation, servers: Servers) -> httpx.Response:
    """A write of a stale version, or a creation of an existing task."""
    if operation.id == "batch_tasks":
        with User(servers("server")) as user:
            batch = toggling(user.creates().document["id"], if_match=1)
            return ask(user, operation, ids={"user_id": user.id}, **batch)
    if operation.takes("If-Match"):
        return ordinary(operation, servers, headers={"If-Match": '"1"'})
    return with_an_id_again(operation, servers, headers={"If-None-Match": "*"})


def with_an_id_again(operation: Operation, servers: Servers, **options: Any) -> httpx.Response:
    """A request whose own id is that of an existing task."""
    with User(servers("server")) as user:
        task = user.creates().document
        ids = {"user_id": user.id, "task_id": task["id"]}
        if operation in CREATIONS:
            kind = User.creates_list if operation.id == "create_list" else User.creates
            options["json"] = {**operation.example(), "id": kind(user).document["id"]}
        return ask(user, operation, ids=ids, **options)


def with_(**options: Any) -> Way:
    return lambda operation, servers: ordinary(operation, servers, **options)


def at(server: str, ids: dict[str, str] | None = None, **options: Any) -> Way:
    """A request to this server about an unknown task, or the task of these ids."""

    def asked(operation: Operation, servers: Servers) -> httpx.Response:
        with User(servers(server)) as user:
            about = ids or {"user_id": user.id, **UNKNOWN}
            return ask(user, operation, ids=about, **options)

    return asked


def about_nothing(server: str) -> Way:
    """A request to this server about an unknown task, without If-Match."""

    def asked(operation: Operation, servers: Servers) -> httpx.Response:
        batch = toggling(str(uuid4())) if operation.id == "batch_tasks" else {}
        return at(server, **batch)(operation, servers)

    return asked


def failing(operation: Operation, servers: Servers) -> httpx.Response:
    """A failure in the database, or in a handler that no data of a task can make fail."""
    if operation.id not in FAILING:
        return at("broken_server", BROKEN)(operation, servers)
    app: Any = servers("broken_app")

    async def get() -> httpx.Response:
        state = {"database": None, "notifications": None, "streams": None, "transfers": None}
        transport = httpx.ASGITransport(
            lambda scope, receive, send: app({**scope, "state": state}, receive, send)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(operation.path.format(**BROKEN))

    return asyncio.run(get())


def guarded(**options: Any) -> Way:
    """A request to a server that requires tokens, without one or for another user."""

    def asked(operation: Operation, servers: Servers) -> httpx.Response:
        with User(servers("guarded_server"), **options) as user:
            return ask(user, operation, ids={"user_id": str(uuid4()), **UNKNOWN})

    return asked


def forbidden(operation: Operation, servers: Servers) -> httpx.Response:
    """A request with the token of another user."""
    issuer: Any = servers("issuer")
    return guarded(issuer=issuer)(operation, servers)


def over_the_quota(operation: Operation, servers: Servers) -> httpx.Response:
    """A request behind another that has used the quota, unless an earlier one had."""
    at("sparing_server")(OPERATIONS["get_me"], servers)
    return at("sparing_server")(operation, servers)


def unavailable(operation: Operation, servers: Servers) -> httpx.Response:
    """A request while the database is away, or the issuer for an operation without database."""
    if operation.id != "get_me":
        return at("lonely_server")(operation, servers)
    with User(servers("keyless_server"), servers("issuer")) as user:  # type: ignore[arg-type]
        return ask(user, operation, ids={})


def in_use(operation: Operation, servers: Servers) -> httpx.Response:
    """A request with an idempotency key that is in use."""
    node_of: Any = servers("node_of")
    with User(servers("server")) as user, closing(psycopg2.connect(node_of(user.id))) as held:
        task = user.creates().document
        held.cursor().execute("SELECT pg_advisory_lock(%s)", [lock_of(UUID(user.id), "key")])
        ids = {"user_id": user.id, "task_id": task["id"]}
        return ask(user, operation, ids=ids, headers={"Idempotency-Key": "key"})


def in_conflict(operation: Operation, servers: Servers) -> httpx.Response:
    """A request with a taken id, or with an idempotency key that is in use."""
    way = with_an_id_again if operation in CREATIONS else in_use
    return way(operation, servers)


def away_too_long(operation: Operation, servers: Servers) -> httpx.Response:
    """A request with a feed token from before a purge."""
    with User(servers("server")) as user, administration(servers("database_url")) as execute:
        task = user.creates().document
        since = user.get(f"/api/{user.id}/changes").json()["next"]
        execute(f"UPDATE users SET purged_revision = revision + 1 WHERE id = '{user.id}'")
        ids = {"user_id": user.id, "task_id": task["id"]}
        return ask(user, operation, ids=ids, query=f"?since={since}")


TOO_LARGE: dict[str, Any] = {
    "content": b" " * (SMALL + 1),
    "headers": {"Content-Type": "application/json"},
}

WAYS: dict[int, Way] = {
    200: ordinary,
    201: ordinary,
    204: ordinary,
    304: with_(headers={"If-None-Match": "*"}),
    400: with_(query="?%ff"),
    401: guarded(),
    403: forbidden,
    404: about_nothing("server"),
    406: with_(headers={"Accept": "text/html"}),
    409: in_conflict,
    410: away_too_long,
    412: of_another_version,
    413: at("small_server", **TOO_LARGE),
    415: with_(content=b"x", headers={"Content-Type": "text/plain"}),
    422: with_(query="?unknown=1"),
    428: about_nothing("strict_server"),
    429: over_the_quota,
    500: failing,
    503: unavailable,
}

DECLARED = [
    (operation, int(status))
    for operation in OPERATIONS.values()
    for status in sorted(operation.responses)
]
UNDECLARED = [
    (operation, status)
    for operation in OPERATIONS.values()
    for status in sorted(WAYS)
    if (operation, status) not in DECLARED
]


def named(cases: list[tuple[Operation, int]]) -> list[str]:
    return [f"{operation.id}-{status}" for operation, status in cases]


def test_there_is_a_request_for_every_declared_status_and_no_other() -> None:
    assert WAYS.keys() == {status for _, status in DECLARED}


@for_each(("operation", "status"), DECLARED, ids=named(DECLARED))
def test_declared_status_happens(operation: Operation, status: int, servers: Servers) -> None:
    response = WAYS[status](operation, servers)

    assert response.status_code == status, response.text
    assert_as_described(response, operation)


@for_each(("operation", "status"), UNDECLARED, ids=named(UNDECLARED))
def test_undeclared_status_does_not_happen(
    operation: Operation, status: int, servers: Servers
) -> None:
    response = WAYS[status](operation, servers)

    assert_as_described(response, operation)
