"""A request that is sent again with its Idempotency-Key is not done again."""

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg2
import pytest
from psycopg2.extensions import connection, make_dsn

from db.migrate import migrate
from db.postgres.roles import as_application
from tests.support.contract import assert_refused
from tests.support.databases import (
    administration,
    as_owner,
    empty_database,
    statements_that_wait,
    terminate_waiting,
)
from tests.support.network import Network, network_to
from tests.support.polling import eventually
from tests.support.responses import assert_faults, assert_problem
from tests.support.servers import Serve, serving, started, url_of
from tests.support.users import Task, User
from tests.support.wire import request, wire_to

WRITES = 200
MILK = {"title": "Buy milk"}


def key(name: object = "8e03978e") -> dict[str, str]:
    return {"Idempotency-Key": str(name)}


def toggles(user: User, task: Task, name: object = "8e03978e") -> httpx.Response:
    return user.patch(f"{task.url}/complete", headers=key(name))


def said(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """All of an answer but when it was given, and whether it was before."""
    headers = [
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.lower() not in (b"date", b"idempotency-replayed")
    ]
    return response.status_code, headers, response.content


def assert_replayed(again: httpx.Response, first: httpx.Response) -> None:
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert said(again) == said(first)


def titles(user: User) -> list[str]:
    return sorted(task["title"] for task in user.get(user.tasks).json())


@pytest.fixture
def own_database(new_database: Callable[[], str]) -> str:
    """A database that may be locked and lost."""
    return new_database()


@pytest.fixture
def meddler(own_database: str) -> Iterator[connection]:
    """Somebody with all rights and an open transaction."""
    with closing(psycopg2.connect(as_owner(own_database))) as opened:
        yield opened


@pytest.fixture
def network(own_database: str) -> Iterator[Network]:
    """What the server has between itself and that database."""
    with network_to(own_database) as network:
        yield network


def ask(opened: connection, sql: str, *values: Any) -> list[Any]:
    with opened.cursor() as cursor:
        cursor.execute(sql, values)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def ask_once(url: str, sql: str, *values: Any) -> list[Any]:
    """What the owner of the tables is answered."""
    with closing(psycopg2.connect(as_owner(url))) as opened, opened:
        return ask(opened, sql, *values)


@contextmanager
def held_up(user: User, opened: connection, lock: str) -> Iterator[Callable[[], None]]:
    """The user's write gets past that lock no sooner; says when it waits for it."""
    user.creates("first")
    ask(opened, lock, user.id)
    yield lambda: _wait_for_somebody(opened)
    opened.rollback()


def _wait_for_somebody(opened: connection) -> None:
    assert eventually(lambda: statements_that_wait(opened) > 0)


BEFORE_THE_WRITE = "SELECT FROM users WHERE id = %s FOR UPDATE"
AFTER_THE_WRITE = (
    "INSERT INTO replays VALUES (%s, '8e03978e', 'x', 200, '[]', 'x', 'tomorrow') RETURNING key"
)


# The same request again


def test_a_creation_that_is_sent_again_creates_nothing(alice: User) -> None:
    first = alice.post(alice.tasks, json=MILK, headers=key())
    again = alice.post(alice.tasks, json=MILK, headers=key())

    assert first.status_code == 201
    assert_replayed(again, first)
    assert again.headers["location"] == f"{alice.tasks}/{first.json()['id']}"
    assert titles(alice) == ["Buy milk"]


def test_a_toggle_that_is_sent_five_times_toggles_once(alice: User, task: Task) -> None:
    first, *others = [toggles(alice, task) for _ in range(5)]

    for again in others:
        assert_replayed(again, first)
    assert alice.get(task.url).json() == first.json()
    assert first.json()["completed"]


def test_a_deletion_that_is_sent_again_succeeds_again(alice: User, task: Task) -> None:
    first = alice.delete(task.url, headers=key())

    assert first.status_code == 204
    assert_replayed(alice.delete(task.url, headers=key()), first)
    assert_problem(alice.delete(task.url), 404, "task-not-found")


def test_an_update_that_is_sent_again_undoes_no_later_one(alice: User, task: Task) -> None:
    first = alice.put(task.url, json={"title": "first"}, headers=key())
    alice.put(task.url, json={"title": "later"})

    assert_replayed(alice.put(task.url, json={"title": "first"}, headers=key()), first)
    assert titles(alice) == ["later"]


def test_sixteen_at_once_create_one_task(alice: User) -> None:
    def create(_: int) -> httpx.Response:
        return alice.post(alice.tasks, json=MILK, headers=key())

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(create, range(16)))

    created = [each for each in answers if each.status_code == 201]
    assert len({each.content for each in created}) == 1
    assert sum("idempotency-replayed" not in each.headers for each in created) == 1
    for other in answers:
        if other not in created:
            assert_problem(other, 409, "idempotency-key-in-use")
    assert create(0).content == created[0].content
    assert titles(alice) == ["Buy milk"]


def test_the_same_json_written_otherwise_is_the_same_request(alice: User) -> None:
    bodies = [b'{"title":"x","completed":false}', b' {"completed": false,\n"title": "\\u0078"}']
    typed = {"Content-Type": "application/json", **key()}

    first, again = (alice.post(alice.tasks, content=each, headers=typed) for each in bodies)

    assert_replayed(again, first)


def test_a_key_means_the_same_with_quotes_and_without(alice: User) -> None:
    first = alice.post(alice.tasks, json=MILK, headers=key('"k-1"'))

    assert_replayed(alice.post(alice.tasks, json=MILK, headers=key("k-1")), first)


def test_what_has_no_key_is_done_again_and_not_kept(alice: User, database_url: str) -> None:
    for _ in range(2):
        alice.creates()

    assert titles(alice) == ["Buy milk"] * 2
    assert kept(alice, database_url) == []


def test_a_refusal_is_given_again_even_where_it_would_succeed_by_now(
    alice: User, task: Task, database_url: str
) -> None:
    alice.delete(task.url)
    first = alice.put(task.url, json=MILK, headers=key())
    ask_once(database_url, "UPDATE tasks SET deleted_at = NULL WHERE user_id = %s", alice.id)

    again = alice.put(task.url, json=MILK, headers=key())

    assert_problem(again, 404, "task-not-found")
    assert_replayed(again, first)


def test_a_conflict_is_given_again_with_all_its_headers(alice: User, task: Task) -> None:
    body = {"id": task.document["id"], "title": "again"}

    first, again = (alice.post(alice.tasks, json=body, headers=key()) for _ in range(2))

    assert_problem(again, 409, "id-taken")
    assert_replayed(again, first)
    assert again.headers["location"] == task.url


def test_of_a_user_who_is_not_known_nothing_is_kept(alice: User, database_url: str) -> None:
    url = f"{alice.tasks}/{uuid4()}"

    answers = [alice.delete(url, headers=key()) for _ in range(2)]

    for each in answers:
        assert_problem(each, 404, "task-not-found")
        assert "idempotency-replayed" not in each.headers
    assert kept(alice, database_url) == []


def test_who_waits_for_changes_is_told_when_the_answer_is_kept(alice: User, task: Task) -> None:
    changes = f"/api/{alice.id}/changes"
    since = alice.get(changes).json()["next"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(alice.get, changes, params={"since": since, "wait": 20})
        time.sleep(0.2)

        toggled = toggles(alice, task).json()

        assert waiting.result().json()["changes"][0]["revision"] == toggled["revision"]


# Another request


def test_another_body_is_refused(alice: User) -> None:
    alice.post(alice.tasks, json=MILK, headers=key())

    response = alice.post(alice.tasks, json={"title": "Buy bread"}, headers=key())

    assert_refused(response, 422, "idempotency-key-reused")
    assert titles(alice) == ["Buy milk"]


def test_another_task_and_another_operation_are_refused(alice: User, task: Task) -> None:
    other = alice.creates("other")
    toggles(alice, task)

    assert_refused(toggles(alice, other), 422, "idempotency-key-reused")
    assert_refused(alice.delete(task.url, headers=key()), 422, "idempotency-key-reused")
    assert titles(alice) == ["Buy milk", "other"]


def test_another_condition_is_refused(alice: User, task: Task) -> None:
    for condition, status in (("*", 200), ('"1"', 422)):
        headers = {"If-Match": condition, **key()}

        assert alice.put(task.url, json=MILK, headers=headers).status_code == status


def test_another_users_key_is_another_key(alice: User, bob: User) -> None:
    for user in (alice, bob):
        response = user.post(user.tasks, json=MILK, headers=key())

        assert "idempotency-replayed" not in response.headers
        assert titles(user) == ["Buy milk"]


def test_a_request_that_broke_the_contract_may_be_mended_under_its_key(alice: User) -> None:
    assert_faults(alice.post(alice.tasks, json={"title": ""}, headers=key()), "/title")

    assert alice.post(alice.tasks, json=MILK, headers=key()).status_code == 201


@pytest.mark.parametrize(
    "wrong", ["", '""', "a b", '"a', 'a"', 'a"b', "a\\b", "é", "x" * 256, f'"{"x" * 256}"']
)
def test_what_is_no_key_is_refused(alice: User, wrong: str) -> None:
    header = {b"Idempotency-Key": wrong.encode("latin-1")}

    assert_faults(alice.post(alice.tasks, json=MILK, headers=header), "Idempotency-Key")


def test_two_keys_are_refused(alice: User) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    assert_faults(alice.post(alice.tasks, json=MILK, headers=headers), "Idempotency-Key")


@pytest.mark.parametrize("longest", ["x" * 255, f'"{"!#[]~" * 51}"'])
def test_a_key_has_up_to_255_characters(alice: User, longest: str) -> None:
    first, again = (alice.post(alice.tasks, json=MILK, headers=key(longest)) for _ in range(2))

    assert_replayed(again, first)


# While it is being answered


def test_a_request_that_is_still_being_answered_is_answered_409(
    serve: Serve, own_database: str, meddler: connection
) -> None:
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        with held_up(alice, meddler, BEFORE_THE_WRITE) as wait_for_somebody:
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            wait_for_somebody()

            early = alice.post(alice.tasks, json=MILK, headers=key())

            assert_refused(early, 409, "idempotency-key-in-use")
            assert early.headers["retry-after"] == "1"
        assert first.result().status_code == 201
        assert_replayed(alice.post(alice.tasks, json=MILK, headers=key()), first.result())


def test_whoever_stores_an_answer_first_is_the_only_one_who_changed_anything(
    serve: Serve, own_database: str, meddler: connection
) -> None:
    """Even if the claim of a key held nobody."""
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        task = alice.creates()
        with held_up(alice, meddler, AFTER_THE_WRITE) as wait_for_somebody:
            toggle = pool.submit(toggles, alice, task)
            wait_for_somebody()
            meddler.commit()

        assert_refused(toggle.result(), 409, "idempotency-key-in-use")
        assert alice.get(task.url).json() == task.document


# How long, and where


def test_an_answer_is_kept_for_a_day(alice: User, task: Task, database_url: str) -> None:
    toggles(alice, task)
    kept_for(alice, database_url, timedelta(hours=24))

    age(database_url, alice, "23 hours 59 minutes")
    assert toggles(alice, task).json()["completed"]

    age(database_url, alice, "2 minutes")
    assert not toggles(alice, task).json()["completed"]


def test_a_write_with_a_key_clears_away_what_has_expired(
    alice: User, task: Task, database_url: str
) -> None:
    toggles(alice, task, "old")
    age(database_url, alice, "25 hours")

    toggles(alice, task, "new")

    assert kept(alice, database_url) == ["new"]


def test_an_answer_that_has_expired_does_not_count_before_it_is_purged(
    alice: User, task: Task, database_url: str
) -> None:
    toggles(alice, task)
    age(database_url, alice, "25 hours")

    again = toggles(alice, task)

    assert "idempotency-replayed" not in again.headers
    assert not again.json()["completed"]
    assert_replayed(toggles(alice, task), again)


def test_how_long_can_be_set(serve: Serve, own_database: str) -> None:
    with User(serve(DATABASE_URL=own_database, ERRAND_REPLAY_HOURS="48")) as alice:
        alice.post(alice.tasks, json=MILK, headers=key())

        kept_for(alice, own_database, timedelta(hours=48))


def test_other_workers_and_later_servers_know_the_answer(own_database: str) -> None:
    answers = []
    for _ in range(2):
        with serving(DATABASE_URL=own_database, ERRAND_WORKERS="2") as server:
            for _ in range(8):
                with User(server) as alice:
                    alice.id = "0190a1b2-0000-7000-8000-00000000a11c"
                    url = f"/api/{alice.id}/tasks"
                    answers.append(alice.post(url, json=MILK, headers=key()))

    for again in answers[1:]:
        assert_replayed(again, answers[0])


def test_who_is_erased_leaves_no_answers(alice: User, database_url: str) -> None:
    alice.post(alice.tasks, json=MILK, headers=key())
    assert kept(alice, database_url)

    alice.delete(f"/api/{alice.id}")

    assert kept(alice, database_url) == []
    again = alice.post(alice.tasks, json=MILK, headers=key())
    assert "idempotency-replayed" not in again.headers


def test_expired_answers_are_purged_on_behalf_of_an_owner_who_is_no_superuser(
    postgres_url: str,
) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN; CREATE ROLE {owner}_guest LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate(url)
    store(url, expired=5, live=3)

    with closing(psycopg2.connect(as_application(url))) as server, server:
        assert ask(server, "SELECT purge_replays(2)") == [2]
        assert ask(server, "SELECT purge_replays(9)") == [3]
        assert ask(server, "SELECT count(*) FROM replays") == [0]
    with closing(psycopg2.connect(url)) as landlord:
        assert ask(landlord, "SELECT count(*) FROM replays") == [0]  # none of them is expired
    with closing(psycopg2.connect(make_dsn(url, user=f"{owner}_guest"))) as guest:
        assert ask(guest, "SELECT has_function_privilege('purge_replays(integer)', 'EXECUTE')") == [
            False
        ]
    assert ask_once(url, "SELECT count(*) FROM replays") == [3]


# What may break


def test_an_answer_that_would_break_the_contract_is_not_given_and_nothing_is_changed(
    alice: User, task: Task, database_url: str
) -> None:
    ask_once(database_url, "UPDATE tasks SET title = '' WHERE user_id = %s", alice.id)
    assert_problem(toggles(alice, task), 500, "internal-error")
    ask_once(database_url, "UPDATE tasks SET title = 'mended' WHERE user_id = %s", alice.id)

    again = toggles(alice, task)

    assert "idempotency-replayed" not in again.headers
    assert again.json()["completed"]


@pytest.mark.parametrize("lock", [BEFORE_THE_WRITE, AFTER_THE_WRITE])
def test_a_write_whose_connection_breaks_can_be_sent_again(
    serve: Serve, own_database: str, meddler: connection, postgres_url: str, lock: str
) -> None:
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        with held_up(alice, meddler, lock):
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            terminate_waiting(own_database, postgres_url)
            assert_problem(first.result(), 503, "outcome-unknown")

        again = answered(lambda: alice.post(alice.tasks, json=MILK, headers=key()))

        assert "idempotency-replayed" not in again.headers
        assert titles(alice) == ["Buy milk", "first"]


def test_a_write_whose_commit_is_not_confirmed_can_be_sent_again(
    serve: Serve, own_database: str, meddler: connection, network: Network
) -> None:
    server = serve(DATABASE_URL=network.url, ERRAND_POOL_SIZE="2")
    with User(server) as alice, ThreadPoolExecutor(1) as pool:
        with held_up(alice, meddler, AFTER_THE_WRITE) as wait_for_somebody:
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            wait_for_somebody()
            network.hang()
        assert eventually(lambda: ask_once(own_database, "SELECT count(*) FROM tasks") == [2])
        network.go_down()
        assert_problem(first.result(), 503, "outcome-unknown")
        network.flow()
        network.come_back()

        again = answered(lambda: alice.post(alice.tasks, json=MILK, headers=key()))

        assert again.headers["idempotency-replayed"] == "true"
        assert titles(alice) == ["Buy milk", "first"]


@pytest.mark.parametrize(
    ("lock", "replayed"), [(BEFORE_THE_WRITE, None), (AFTER_THE_WRITE, "true")]
)
def test_a_server_that_is_killed_leaves_the_write_with_its_answer_or_neither(
    own_database: str, meddler: connection, lock: str, replayed: str | None
) -> None:
    process = started(DATABASE_URL=own_database)
    alice = User(url_of(process))
    with alice, ThreadPoolExecutor(1) as pool, held_up(alice, meddler, lock) as wait_for_somebody:
        first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
        wait_for_somebody()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert isinstance(first.exception(), httpx.TransportError)
    with serving(DATABASE_URL=own_database) as server, User(server) as alice_again:
        alice_again.id, alice_again.tasks = alice.id, alice.tasks

        again = answered(lambda: alice_again.post(alice.tasks, json=MILK, headers=key()))

        assert again.headers.get("idempotency-replayed") == replayed
        assert titles(alice_again) == ["Buy milk", "first"]


def test_whoever_sends_each_write_until_it_is_answered_has_it_done_once(
    serve: Serve, own_database: str
) -> None:
    """Though connections break at random, between client and server and before the database."""
    server = serve(DATABASE_URL=own_database, ERRAND_POOL_SIZE="4")
    with User(server) as alice:
        task = alice.creates("toggled")
        first = revision_of(alice, own_database)
        create = ("POST", alice.tasks, "created")
        toggle = ("PATCH", f"{task.url}/complete", None)
        writes = [random.choice([create, toggle]) for _ in range(WRITES)]
        toggled = writes.count(toggle)

        with breaking_connections(own_database), ThreadPoolExecutor(8) as pool:
            sent = sum(
                pool.map(lambda number: persist(server, *writes[number], number), range(WRITES))
            )

        assert sent > WRITES
        created = {f"created {number}" for number in range(WRITES) if writes[number] is create}
        assert stored_titles(own_database) == sorted({"toggled", *created})
        assert alice.get(task.url).json()["completed"] is (toggled % 2 == 1)
        assert revision_of(alice, own_database) - first == WRITES


def persist(server: str, method: str, path: str, title: str | None, number: int) -> int:
    """Send a write until it is answered, and at random once more; how often it was sent."""
    body = f'{{"title": "{title} {number}"}}'.encode() if title else None
    sent = request(method, path, f"Idempotency-Key: {number}", body=body)
    for times in range(1, 1000):
        with wire_to(server) as wire, suppress(AssertionError, ConnectionError):
            wire.sends(sent)
            if random.random() < 0.4:
                time.sleep(random.choice([0, 0.001, 0.005, 0.25]))
                continue
            answer = wire.answer()
            assert answer.status_code in (200, 201)
            if random.random() < 0.7:
                return times
    raise AssertionError("it was never answered")


@contextmanager
def breaking_connections(url: str) -> Iterator[None]:
    """Every now and then a connection of the server to its database breaks."""
    over = threading.Event()

    def breaks() -> None:
        while not over.wait(random.uniform(0, 0.1)):
            ask_once(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
                " 'errand' AND datname = current_database() ORDER BY random() LIMIT 1",
            )

    thread = threading.Thread(target=breaks)
    thread.start()
    yield
    over.set()
    thread.join()


def revision_of(user: User, url: str) -> int:
    """How many writes of the user's have been counted, from wherever the count began."""
    [revision] = ask_once(url, "SELECT revision FROM users WHERE id = %s", user.id)
    return int(revision)


def stored_titles(url: str) -> list[str]:
    return sorted(ask_once(url, "SELECT title FROM tasks"))


def answered(send: Callable[[], httpx.Response]) -> httpx.Response:
    """What it is answered, sent again for as long as it is told to."""
    answers: list[httpx.Response] = []

    def is_over() -> bool:
        answers.append(send())
        return answers[-1].status_code not in (409, 503)

    assert eventually(is_over), answers
    return answers[-1]


def kept(user: User, url: str) -> list[str]:
    """The keys under which answers to the user are kept."""
    return ask_once(url, "SELECT key FROM replays WHERE user_id = %s", user.id)


def kept_for(user: User, url: str, lifetime: timedelta, answers: int = 1) -> None:
    left = ask_once(url, "SELECT expires_at - now() FROM replays WHERE user_id = %s", user.id)
    assert len(left) == answers
    assert all(lifetime - timedelta(minutes=1) < each <= lifetime for each in left)


def age(url: str, user: User, interval: str) -> None:
    """Let the answers to the user be that much older."""
    ask_once(
        url,
        "UPDATE replays SET expires_at = expires_at - %s::interval WHERE user_id = %s",
        interval,
        user.id,
    )


def store(url: str, **answers: int) -> None:
    """Have so many answers that expired yesterday, and so many that will tomorrow."""
    days = {"expired": "yesterday", "live": "tomorrow"}
    with administration(url) as execute:
        for state, count in answers.items():
            user = uuid4()
            execute(f"INSERT INTO users (id) VALUES ('{user}')")
            execute(
                f"INSERT INTO replays SELECT '{user}', number, 'x', 200, '[]', 'x',"
                f" '{days[state]}' FROM generate_series(1, {count}) AS number"
            )
