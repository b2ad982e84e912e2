"""Tools for agents (Model Context Protocol), over standard input and output and over HTTP."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import psycopg2
import pytest
from psycopg2.extensions import connection

from openapi.access.principal import SAMPLE_USER
from openapi.mcp.tools import tools_of
from tests.support.contract import DOCUMENT
from tests.support.databases import as_owner, statements_that_wait
from tests.support.issuer import Issuer
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import Server, serving, started, trusting, url_of
from tests.support.users import User, in_trash, new_address
from tests.support.wire import request, wire_to

if TYPE_CHECKING:
    from tests.support.agents import Agent

ON = {"ERRAND_MCP": "on"}
CALL = {"Accept": "application/json", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def process(issuer: Issuer, database_url: str) -> Iterator[Server]:
    """A server that requires tokens and has tools."""
    process = started(DATABASE_URL=database_url, log=None, **trusting(issuer, **ON))
    yield process
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def equipped(process: Server) -> str:
    return url_of(process)


@pytest.fixture
def alice(equipped: str, issuer: Issuer) -> Iterator[User]:
    with User(equipped, issuer) as user:
        yield user


@pytest.fixture
def connected(equipped: str, issuer: Issuer) -> Iterator[Callable[..., "Agent"]]:
    """Connect agents with a user's token; they leave with the test."""
    # Here, because every process of the tests imports every module of tests.
    from tests.support.agents import over_http, over_stdio  # noqa: PLC0415

    with ExitStack() as stack:

        def connect(user: User, *, way: str = "http") -> "Agent":
            over = {"http": over_http, "stdio": over_stdio}[way]
            return stack.enter_context(over(equipped, issuer.token(user.id)))

        yield connect


@pytest.fixture
def agent(connected: Callable[..., "Agent"], alice: User) -> "Agent":
    """An agent of Alice's."""
    return connected(alice)


@pytest.mark.parametrize("way", ["http", pytest.param("stdio", marks=pytest.mark.long)])
def test_agent_takes_a_task_through_its_life(
    connected: Callable[..., "Agent"], equipped: str, issuer: Issuer, alice: User, way: str
) -> None:
    agent = connected(alice, way=way)
    groceries = agent.calls("create_list", title="Groceries", idempotency_key=str(uuid4()))
    key = str(uuid4())
    task = agent.calls("create_task", title="Buy milk", idempotency_key=key)
    again = agent.calls("create_task", title="Buy milk", idempotency_key=key)
    other = agent.calls("create_task", title="Bread", tags=["x"], idempotency_key=str(uuid4()))

    assert again == task
    assert {each["id"] for each in alice.get(alice.tasks).json()} == {task["id"], other["id"]}

    moved = agent.calls(
        "move_task", task_id=task["id"], list_id=groceries["id"], revision=task["revision"]
    )
    stale = agent.is_refused(
        "patch_task", task_id=task["id"], completed=True, revision=task["revision"]
    )
    assert (stale["status"], stale["current"]) == (412, moved)
    assert not agent.calls("get_task", task_id=task["id"])["completed"]

    fresh = {"task_id": task["id"], "revision": stale["current"]["revision"]}
    done = agent.calls("patch_task", completed=True, due_on=None, **fresh)
    assert done["completed"]
    assert agent.calls("get_summary")["done"] == 1
    assert agent.calls("delete_task", task_id=task["id"]) == "Done."
    [deleted] = agent.calls("list_trash")["items"]
    assert in_trash(alice) == [deleted]
    assert agent.calls("restore_task", task_id=deleted["id"])["list_id"] == groceries["id"]
    assert agent.calls("list_tasks", tag=["X"], completed=False)["items"] == [other]
    with User(equipped, issuer) as bob:
        assert agent.is_refused("get_task", task_id=bob.creates().document["id"])["status"] == 404


def test_each_page_has_the_arguments_of_the_next(agent: "Agent", alice: User) -> None:
    tasks = [alice.creates(f"Task {each}").document for each in range(5)][::-1]
    pages: list[Any] = []
    next_page: dict[str, str] | None = {}
    while next_page is not None:
        page = agent.calls("list_tasks", limit=2, completed=False, **next_page)
        pages.append(page["items"])
        next_page = page["next"]

    assert pages == [tasks[:2], tasks[2:4], tasks[4:]]


def test_the_contract_says_which_tools_there_are_and_what_they_do(agent: "Agent") -> None:
    marked = {
        operation["operationId"]: operation["description"]
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
        if operation.get("x-tool")
    }
    tools = agent.tools()

    assert {name: tool.description for name, tool in tools.items()} == marked
    for tool in tools.values():
        # The token says who the caller is; conditions of reads are of no use.
        assert not {"user_id", "If-None-Match", "offset"} & tool.input_schema["properties"].keys()
    assert tools["create_task"].input_schema["required"] == ["idempotency_key", "title"]
    assert tools["patch_task"].input_schema["required"] == ["task_id"]


def test_revision_is_required_where_the_server_requires_a_version() -> None:
    path = tools_of(DOCUMENT)["paths"]["/api/@me/tasks/{task_id}"]["patch"]
    required = {each["name"]: each["required"] for each in path["parameters"]}

    assert required == {"task_id": True, "idempotency_key": False, "revision": True}


def test_unknown_argument_is_refused(agent: "Agent", alice: User) -> None:
    unknown = agent.fails("list_tasks", user_id=str(uuid4()))
    invalid = agent.is_refused("create_task", title="", idempotency_key="a")

    assert unknown.startswith("Unknown arguments: user_id")

    assert (invalid["status"], invalid["errors"][0]["pointer"]) == (422, "/title")
    assert alice.get(alice.tasks).json() == []


def test_agents_cannot_reach_the_tasks_of_each_other(
    connected: Callable[..., "Agent"], equipped: str, issuer: Issuer, agent: "Agent"
) -> None:
    task = agent.calls("create_task", title="Buy milk", idempotency_key="a")
    with User(equipped, issuer) as bob:
        other = connected(bob)
        for tool in ("get_task", "patch_task", "move_task", "delete_task", "restore_task"):
            assert other.is_refused(tool, task_id=task["id"])["status"] == 404
        assert other.calls("list_tasks") == {"items": [], "next": None}
        other.fails("get_task", task_id=f"../../{task['user_id']}/tasks/{task['id']}")
        # A key is its user's own.
        created = other.calls("create_task", title="Buy milk", idempotency_key="a")
        assert created["user_id"] == bob.id
        assert created["id"] != task["id"]
    assert agent.calls("get_task", task_id=task["id"]) == task


def test_errand_mcp_reads_the_token_for_each_call(
    equipped: str, issuer: Issuer, alice: User
) -> None:
    from openapi.mcp.stdio import tools_at  # noqa: PLC0415
    from tests.support.agents import Agent  # noqa: PLC0415

    token = issuer.token(alice.id)
    with Agent(tools_at(equipped, lambda: token)) as agent:
        token = "expired"
        assert agent.is_refused("list_lists")["status"] == 401
        token = issuer.token(alice.id)
        assert agent.calls("list_lists") == {"items": [], "next": None}


def test_call_without_an_answer_says_how_to_repeat_it(database_url: str) -> None:
    from openapi.mcp.stdio import tools_at  # noqa: PLC0415
    from tests.support.agents import Agent  # noqa: PLC0415

    with serving(DATABASE_URL=database_url) as url:
        tools = tools_at(url, lambda: None)
    with Agent(tools) as agent:
        text = agent.fails("create_task", title="Buy milk", idempotency_key="a")

    assert text.startswith("The server did not answer")
    assert "the same idempotency_key" in text


def test_message_without_a_valid_token_is_refused(equipped: str, issuer: Issuer) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for token in ("", "Bearer nonsense", f"Bearer {issuer.token('bob', exp=1)}"):
        headers = {**CALL, **({"Authorization": token} if token else {})}
        response = httpx.post(f"{equipped}/mcp", json=listing, headers=headers)

        assert_problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert_problem(httpx.get(f"{equipped}/mcp"), 405, "method-not-allowed")
    assert httpx.get(f"{equipped}/mcp").headers["Allow"] == "OPTIONS, POST"


def test_requests_of_tools_are_logged_with_their_operation_and_caller(
    process: Server, agent: "Agent", alice: User
) -> None:
    agent.calls("create_task", title="Buy milk", idempotency_key="a")

    assert process.stdout
    lines = (json.loads(line) for line in process.stdout if line.startswith("{"))
    of_tool = next(
        each for each in lines if (each["operation"], each["caller"]) == ("create_task", alice.id)
    )
    of_message = next(each for each in lines if each["operation"] == "mcp")
    assert (of_tool["status"], of_tool["client"]) == (201, "127.0.0.1")
    assert of_tool["path"] == alice.tasks
    assert (of_message["path"], of_message["caller"]) == ("/mcp", alice.id)


def message(tool: str, **arguments: Any) -> dict[str, Any]:
    parameters = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}


@pytest.fixture(scope="module")
def strict(database_url: str) -> Iterator[str]:
    """A server that soon has enough."""
    settings = {"ERRAND_RATE_LIMIT": "10", "ERRAND_ANSWER_TIMEOUT": "1"}
    with serving(DATABASE_URL=database_url, **settings, **ON) as url:
        yield url


def test_requests_of_tools_count_against_the_rate_limit(strict: str) -> None:
    with User(strict, address=new_address()) as sample:
        listing = message("list_lists")
        # The messages alone would be as many as there may be.
        answers = [sample.post("/mcp", json=listing, headers=CALL) for _ in range(10)]

    assert answers[0].status_code == 200
    assert "/problems#too-many-requests" in answers[-1].text


def test_tool_ends_at_the_deadline_of_requests(strict: str, database_url: str) -> None:
    with User(strict, address=new_address()) as sample:
        sample.tasks = f"/api/{SAMPLE_USER.user_id}/tasks"
        task = sample.creates().document
        with locked(database_url, task["user_id"]) as holder:
            called = message("patch_task", task_id=task["id"], completed=True)
            result = sample.post("/mcp", json=called, headers=CALL).json()["result"]

            assert result["isError"]
            assert json.loads(result["content"][0]["text"])["type"] == "/problems#answer-too-late"
            assert eventually(lambda: statements_that_wait(holder) == 0)


def test_tool_of_a_disconnected_client_is_cancelled(
    alice: User, agent: "Agent", equipped: str, database_url: str
) -> None:
    task = agent.calls("create_task", title="Buy milk", idempotency_key="a")
    called = message("patch_task", task_id=task["id"], completed=True)
    headers = ("Accept: application/json", f"Authorization: {alice.headers['Authorization']}")
    with locked(database_url, alice.id) as holder:
        with wire_to(equipped) as wire:
            wire.sends(request("POST", "/mcp", *headers, body=json.dumps(called).encode()))
            assert eventually(lambda: statements_that_wait(holder) == 1)

        assert eventually(lambda: statements_that_wait(holder) == 0)
    assert agent.calls("get_task", task_id=task["id"]) == task


@contextmanager
def locked(database_url: str, user_id: str) -> Iterator[connection]:
    """A connection that locks a user's row, so that writes wait."""
    with closing(psycopg2.connect(as_owner(database_url))) as holder:
        with holder.cursor() as cursor:
            cursor.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user_id])
        yield holder
