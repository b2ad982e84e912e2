"""Access: no request without a valid token, and none to the data of another user."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg2
import pytest

from openapi.access.tokens import NAMESPACE
from tests.support import http
from tests.support.cases import for_each
from tests.support.databases import as_owner
from tests.support.issuer import Issuer, new_private, running_issuer, tampered
from tests.support.operations import OPERATIONS, Operation, ask
from tests.support.responses import assert_problem
from tests.support.servers import Serve, errand, trusting
from tests.support.users import Task, User

SAMPLE_USER = "0190a1b2-0000-7000-8000-00000000a11c"
GUARDED = [each for each in OPERATIONS.values() if each.path.startswith("/api/")]
OF_ONE_USER = [each for each in GUARDED if "user_id" in each.path]

every_guarded_operation = for_each("operation", GUARDED, ids=[each.id for each in GUARDED])


@pytest.fixture
def alice(guarded_server: str, issuer: Issuer) -> Iterator[User]:
    """A user with a token."""
    with User(guarded_server, issuer) as user:
        yield user


@pytest.fixture
def bob(guarded_server: str, issuer: Issuer) -> Iterator[User]:
    """Another user with a token."""
    with User(guarded_server, issuer) as user:
        yield user


@pytest.fixture
def stranger(guarded_server: str) -> Iterator[User]:
    """A client without a token."""
    with User(guarded_server) as user:
        yield user


def test_valid_token_gives_access_to_its_users_tasks(alice: User) -> None:
    task = alice.creates()

    assert alice.get(task.url).json() == task.document


@every_guarded_operation
def test_request_without_a_token_returns_401_and_does_nothing(
    stranger: User, operation: Operation
) -> None:
    unknown = {"task_id": str(uuid4()), "list_id": str(uuid4()), "file": "x"}
    response = ask(stranger, operation, ids={"user_id": stranger.id, **unknown})

    assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == 'Bearer realm="errand"'


def test_health_and_documentation_need_no_token(stranger: User) -> None:
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json", "/problems"):
        assert stranger.get(path).status_code == 200


BAD_TOKENS: dict[str, Any] = {
    "expired": lambda issuer, me: issuer.token(me, exp=int(time.time()) - 60),
    "of another issuer": lambda issuer, me: issuer.token(me, iss="https://elsewhere.example"),
    "for another audience": lambda issuer, me: issuer.token(me, aud="https://elsewhere.example"),
    "without an expiry": lambda issuer, me: issuer.token(me, exp=None),
    "without a subject": lambda issuer, me: issuer.token(None),
    "from the future": lambda issuer, me: issuer.token(me, iat=int(time.time()) + 600),
    "with an unknown key": lambda issuer, me: issuer.token(me, header={"kid": "unknown"}),
    "without a key's name": lambda issuer, me: issuer.token(me, header={"kid": None}),
    "with another algorithm's name": lambda issuer, me: issuer.token(me, header={"alg": "ES256"}),
    "with a key of its own": lambda issuer, me: issuer.token(me, header={"jwk": issuer.key.jwk}),
    "with a key from elsewhere": lambda issuer, me: issuer.token(
        me, header={"jku": "https://elsewhere.example/keys"}
    ),
    "unsigned": lambda issuer, me: jwt.encode(issuer.claims(me), "", algorithm="none"),
    "signed with the public key as a secret": lambda issuer, me: jwt.encode(
        issuer.claims(me), issuer.key.jwk["x"] * 2, "HS256", headers={"kid": issuer.key.kid}
    ),
    "signed with another key": lambda issuer, me: jwt.encode(
        issuer.claims(me), new_private("EdDSA"), "EdDSA", headers={"kid": issuer.key.kid}
    ),
    "tampered with": lambda issuer, me: tampered(issuer.token(me)),
    "no token at all": lambda issuer, me: "x",
}


@for_each("kind", BAD_TOKENS)
def test_bad_token_returns_401_with_the_reason(stranger: User, issuer: Issuer, kind: str) -> None:
    token = BAD_TOKENS[kind](issuer, stranger.id)

    response = stranger.get(stranger.tasks, headers={"Authorization": f"Bearer {token}"})

    problem = assert_problem(response, 401, "unauthenticated")
    assert response.headers["www-authenticate"] == (
        f'Bearer realm="errand", error="invalid_token", error_description="{problem["detail"]}"'
    )


@for_each("credentials", ["", "Bearer", "Basic YTpi", "bearer", "Token x"])
def test_other_credentials_return_401(stranger: User, credentials: str) -> None:
    response = stranger.get(stranger.tasks, headers={"Authorization": credentials})

    assert_problem(response, 401, "unauthenticated")


def test_authorization_scheme_is_case_insensitive(stranger: User, issuer: Issuer) -> None:
    for scheme in ("bearer", "BEARER"):
        credentials = f"{scheme} {issuer.token(stranger.id)}"
        response = stranger.get(stranger.tasks, headers={"Authorization": credentials})
        assert response.status_code == 200


def test_two_tokens_return_401(stranger: User, issuer: Issuer) -> None:
    credentials = f"Bearer {issuer.token(stranger.id)}"

    response = stranger.get(
        stranger.tasks, headers=[("Authorization", credentials), ("Authorization", credentials)]
    )

    assert_problem(response, 401, "unauthenticated")


@for_each("operation", OF_ONE_USER, ids=[each.id for each in OF_ONE_USER])
def test_data_of_another_user_returns_403_and_reveals_nothing(
    alice: User, bob: User, operation: Operation
) -> None:
    task = bob.creates()
    there = {"user_id": bob.id, "task_id": task.document["id"]}
    nowhere = {"user_id": str(uuid4()), "task_id": str(uuid4())}

    answers = [ask(alice, operation, ids=ids) for ids in (there, nowhere)]

    documents = [assert_problem(each, 403, "not-yours") for each in answers]
    assert {**documents[0], "request_id": ""} == {**documents[1], "request_id": ""}
    assert bob.get(task.url).json() == task.document


def test_user_id_in_the_path_is_case_insensitive(alice: User) -> None:
    assert alice.get(f"/api/{alice.id.upper()}/tasks").status_code == 200


def test_malformed_user_id_returns_422(alice: User) -> None:
    assert_problem(alice.get("/api/me/tasks"), 422, "invalid-request")


def test_uuid_subject_is_the_user_id(alice: User, issuer: Issuer) -> None:
    me = alice.get("/api/me").json()

    assert me["user_id"] == alice.id
    assert (me["issuer"], me["subject"]) == (issuer.url, alice.id)
    assert me["expires_at"].endswith("Z")


def test_other_subject_has_one_user_id(stranger: User, issuer: Issuer) -> None:
    def id_of(subject: str) -> UUID:
        credentials = f"Bearer {issuer.token(subject)}"
        me = stranger.get("/api/me", headers={"Authorization": credentials}).json()
        assert me["subject"] == subject
        return UUID(me["user_id"])

    assert id_of("rYq0xk3mPz") == id_of("rYq0xk3mPz") != id_of("rYq0xk3mPy")
    assert id_of(str(NAMESPACE)) == NAMESPACE


def test_expired_token_is_refused_even_if_it_was_accepted_before(
    stranger: User, serve: Serve
) -> None:
    with running_issuer() as issuer:
        url = serve(**trusting(issuer, ERRAND_TOKEN_LEEWAY="0"))
        token = issuer.token(stranger.id, exp=int(time.time()) + 3)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            assert client.get(stranger.tasks).status_code == 200
            time.sleep(3)

            assert_problem(client.get(stranger.tasks), 401, "unauthenticated")


def test_key_rotation_refuses_no_request(serve: Serve) -> None:
    with running_issuer() as issuer, User(serve(**trusting(issuer))) as alice:
        before = issuer.token(alice.id)
        assert_welcome(alice, before)

        issuer.rotate()

        assert_welcome(alice, issuer.token(alice.id))
        assert_welcome(alice, before)


@pytest.mark.parametrize("misfortune", ["hangs", "fails", "stops"])
def test_known_keys_outlive_an_outage_of_the_issuer(serve: Serve, misfortune: str) -> None:
    with running_issuer() as issuer, User(serve(**trusting(issuer))) as alice:
        assert_welcome(alice, issuer.token(alice.id))

        getattr(issuer, misfortune)()

        assert_welcome(alice, issuer.token(alice.id))


@pytest.mark.parametrize("misfortune", ["hangs", "fails", "stops"])
def test_without_any_key_a_token_returns_503(serve: Serve, misfortune: str) -> None:
    with running_issuer() as issuer:
        getattr(issuer, misfortune)()
        with User(serve(**trusting(issuer))) as alice:
            alice.headers["Authorization"] = f"Bearer {issuer.token(alice.id)}"

            response = alice.get(alice.tasks)

    assert_problem(response, 503, "keys-away")
    assert int(response.headers["retry-after"]) >= 1


def assert_welcome(user: User, token: str) -> None:
    response = user.get(user.tasks, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200, response.text


def test_keys_can_be_in_a_file_or_in_the_settings(
    serve: Serve, issuer: Issuer, tmp_path: Path
) -> None:
    expected = {"ERRAND_ISSUER": issuer.url, "ERRAND_AUDIENCE": issuer.url}
    file = tmp_path / "keys.json"
    file.write_bytes(issuer.document)

    for source in ({"ERRAND_KEY_FILE": str(file)}, {"ERRAND_PUBLIC_KEY": issuer.key.pem}):
        with User(serve(**source, **expected)) as alice:
            assert_welcome(alice, issuer.token(alice.id))


def test_caller_in_open_mode_is_the_sample_user(server: str) -> None:
    me = http.get(f"{server}/api/me").json()

    assert me == {"user_id": SAMPLE_USER, "issuer": None, "subject": None, "expires_at": None}


def test_served_contract_is_the_enforced_one(server: str, guarded_server: str) -> None:
    in_open_mode = http.get(f"{server}/openapi.json").json()
    guarded = http.get(f"{guarded_server}/openapi.json").json()

    assert guarded["security"] == [{"bearerAuth": []}]
    assert {"401", "403", "429"} <= statuses_of(guarded)
    assert "bearerAuth" not in str(in_open_mode)
    assert "RateLimit" not in str(in_open_mode["components"]["responses"])
    assert statuses_of(in_open_mode).isdisjoint({"401", "429"})
    assert problems_of(in_open_mode, "403") == {"too-many-tasks", "too-many-lists"}
    assert problems_of(guarded, "403") == {"too-many-tasks", "too-many-lists", "not-yours"}


def problems_of(contract: dict[str, Any], status: str) -> set[str]:
    """The kinds of problems with the status that any operation declares."""
    responses = contract["components"]["responses"]
    declared = [each["responses"] for each in operations_of(contract)]
    named = {each[status]["$ref"].rpartition("/")[2] for each in declared if status in each}
    problems = [responses[name]["content"]["application/problem+json"] for name in named]
    return {kind for each in problems for kind in each["examples"]}


def operations_of(contract: dict[str, Any]) -> list[dict[str, Any]]:
    items = contract["paths"].values()
    return [each for item in items for each in item.values() if "responses" in each]


def statuses_of(contract: dict[str, Any]) -> set[str]:
    return {status for each in operations_of(contract) for status in each["responses"]}


@for_each(
    ("host", "status"),
    [
        ("localhost:3000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 400),
        ("127.0.0.1.evil.example", 400),
    ],
)
def test_open_mode_refuses_foreign_hosts(server: str, host: str, status: int) -> None:
    response = http.get(f"{server}/api/me", headers={"Host": host})

    assert response.status_code == status


def test_subject_cannot_be_chosen_to_map_to_the_id_of_another_user(
    stranger: User, issuer: Issuer
) -> None:
    def id_of(subject: str) -> str:
        credentials = f"Bearer {issuer.token(subject)}"
        me = stranger.get("/api/me", headers={"Authorization": credentials}).json()
        user_id: str = me["user_id"]
        return user_id

    assert id_of(id_of("alice")) != id_of("alice")


def test_open_mode_is_refused_on_any_address_but_loopback() -> None:
    refused = errand("serve", "--host", "0.0.0.0", "--port", "0")

    assert refused.returncode == 1
    assert "ERRAND_JWKS_URL" in refused.stderr
    assert "--open" in refused.stderr


def test_open_mode_is_served_on_every_address_with_the_open_setting(serve: Serve) -> None:
    url = serve(ERRAND_HOST="0.0.0.0", ERRAND_OPEN="on")

    assert http.get(f"{url}/api/me").status_code == 200


WRONG_TOGETHER = {
    "two sources of keys": (
        {"ERRAND_JWKS_URL": "https://a.example/keys", "ERRAND_LOCAL_TOKENS": "on"},
        "ERRAND_JWKS_URL and ERRAND_LOCAL_TOKENS are set",
    ),
    "keys in open mode": (
        {"ERRAND_LOCAL_TOKENS": "on", "ERRAND_OPEN": "on"},
        "ERRAND_LOCAL_TOKENS is set, and open mode as well",
    ),
    "keys without an audience": (
        {"ERRAND_JWKS_URL": "https://a.example/keys", "ERRAND_ISSUER": "https://a.example"},
        "With ERRAND_JWKS_URL, set ERRAND_AUDIENCE",
    ),
    "keys over plain http": (
        {
            "ERRAND_JWKS_URL": "http://a.example/keys",
            "ERRAND_ISSUER": "https://a.example",
            "ERRAND_AUDIENCE": "errand",
        },
        "must begin with https",
    ),
    "an issuer without its keys": (
        {"ERRAND_ISSUER": "https://a.example", "ERRAND_AUDIENCE": "errand"},
        "With ERRAND_ISSUER and ERRAND_AUDIENCE, set ERRAND_JWKS_URL",
    ),
    "keys that are empty": (
        {"ERRAND_JWKS_URL": "", "ERRAND_ISSUER": "x", "ERRAND_AUDIENCE": "x"},
        "ERRAND_JWKS_URL=: String should have at least 1 character",
    ),
    "a proxy in front of open mode": ({"ERRAND_TRUSTED_PROXIES": "10.0.0.1"}, "--open"),
    "a Redis with another's port": (
        {"ERRAND_REDIS_URL": "redis://:se/cret@127.0.0.1:6379/0"},
        "ERRAND_REDIS_URL: Value error, it cannot be read",
    ),
    "a file that is not there": (
        {"ERRAND_KEY_FILE": "/nowhere", "ERRAND_ISSUER": "x", "ERRAND_AUDIENCE": "x"},
        "ERRAND_KEY_FILE: /nowhere cannot be read",
    ),
}


@for_each("kind", WRONG_TOGETHER)
def test_conflicting_settings_are_refused(kind: str) -> None:
    settings, complaint = WRONG_TOGETHER[kind]

    refused = errand("serve", "--port", "0", **settings)

    assert refused.returncode == 1
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr


def test_local_tokens_are_accepted_without_an_issuer(serve: Serve, tmp_path: Path) -> None:
    url = serve(ERRAND_LOCAL_TOKENS="on", ERRAND_DATA_DIR=str(tmp_path))
    sample = errand("token", "--data-dir", str(tmp_path)).stdout.strip()
    named = errand("token", "--data-dir", str(tmp_path), "--user", "carol").stdout.strip()

    def me(token: str) -> Any:
        return http.get(f"{url}/api/me", headers={"Authorization": f"Bearer {token}"}).json()

    assert http.get(f"{url}/api/me").status_code == 401
    assert me(sample)["user_id"] == SAMPLE_USER
    assert me(named)["subject"] == "carol"
    assert (tmp_path / "token-key.pem").stat().st_mode & 0o777 == 0o600


def test_local_tokens_are_refused_where_there_is_an_issuer(
    guarded_server: str, issuer: Issuer, tmp_path: Path
) -> None:
    token = errand("token", "--data-dir", str(tmp_path)).stdout.strip()

    response = http.get(f"{guarded_server}/api/me", headers={"Authorization": f"Bearer {token}"})
    refused = errand("token", "--data-dir", str(tmp_path), **trusting(issuer))

    assert_problem(response, 401, "unauthenticated")
    assert refused.returncode == 1
    assert "tokens come from its issuer" in refused.stderr


def test_erased_user_leaves_no_row_in_any_table(alice: User, database_url: str) -> None:
    kept, deleted = alice.creates("keep"), alice.creates("delete")
    alice.delete(deleted.url)
    assert rows_with(alice.id, database_url)

    assert alice.delete(f"/api/{alice.id}").status_code == 204

    assert rows_with(alice.id, database_url) == {}
    assert_problem(alice.get(kept.url), 404, "task-not-found")
    assert alice.get(alice.tasks).json() == []


def test_erasing_a_user_leaves_other_users_unchanged(alice: User, bob: User) -> None:
    task = bob.creates()
    alice.creates()

    alice.delete(f"/api/{alice.id}")

    assert bob.get(task.url).json() == task.document


def test_erasing_an_unknown_user_succeeds_and_an_erased_user_can_return(alice: User) -> None:
    assert alice.delete(f"/api/{alice.id}").status_code == 204
    assert alice.delete(f"/api/{alice.id}").status_code == 204

    task: Task = alice.creates("anew")

    assert [each["id"] for each in alice.get(alice.tasks).json()] == [task.document["id"]]


def rows_with(user_id: str, database_url: str) -> dict[str, int]:
    """How many rows of each table hold the id in any column."""
    found = {}
    with psycopg2.connect(as_owner(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT count(*) FROM {table} WHERE {table}::text LIKE %s", [f"%{user_id}%"]
            )
            if count := cursor.fetchone()[0]:  # type: ignore[index]
                found[table] = count
    connection.close()
    return found
