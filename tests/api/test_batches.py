"""Batches: several operations in one transaction, all or none, or each on its own."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.catalogue import CATALOGUE
from db.citus.opening import database_at
from db.postgres.connection import Connection
from db.tasks import batches
from openapi.settings import load_settings
from tests.support.databases import administration
from tests.support.feed import Copy, tasks_of
from tests.support.fields import (
    EXCLUSIVE,
    PLACE,
    REQUIRED,
    WRITABLE,
    agreeing,
    create_references,
    values_of,
)
from tests.support.races import RACERS, Servers, race
from tests.support.references import property_settings
from tests.support.responses import assert_faults, assert_problem
from tests.support.servers import PATIENT, Serve
from tests.support.users import Task, User

Operation = dict[str, Any]


def batch(user: User, *operations: Operation, **more: Any) -> httpx.Response:
    """Send these operations as one request."""
    headers = more.pop("headers", None)
    body = {"operations": operations, **more}
    return user.post(f"{user.tasks}/batch", json=body, headers=headers)


def results(response: httpx.Response) -> list[dict[str, Any]]:
    """The result of each operation."""
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["results"]
    return found


def creates(title: str = "Buy milk", **more: Any) -> Operation:
    return {"op": "create", "title": title, **more}


def does(op: str, task: Task | str, **more: Any) -> Operation:
    task_id = task if isinstance(task, str) else task.document["id"]
    return {"op": op, "id": task_id, **more}


def everything(user: User) -> list[Any]:
    """Tasks, trash and feed."""
    return [user.get(url).json() for url in (user.tasks, user.trash, f"/api/{user.id}/changes")]


# All or nothing


def test_batch_runs_its_operations_in_order(alice: User, task: Task) -> None:
    new = str(uuid4())

    done = results(
        batch(
            alice,
            does("update", task, title="Buy bread", description=None),
            creates("first", id=new),
            does("toggle", new),
            does("delete", task),
            does("restore", task),
            does("delete", new),
        )
    )

    assert [each["status"] for each in done] == [200, 201, 200, 204, 200, 204]
    [left] = alice.get(alice.tasks).json()
    assert left == done[4]["task"]
    assert (left["title"], left["description"]) == ("Buy bread", None)
    [deleted] = alice.get(alice.trash).json()
    assert (deleted["id"], deleted["completed"]) == (new, True)


def test_each_operation_takes_the_next_revision_and_a_later_time(alice: User, task: Task) -> None:
    done = results(batch(alice, *[does("toggle", task)] * 5))

    versions = [task.document, *(each["task"] for each in done)]
    for before, after in pairwise(versions):
        assert after["revision"] == before["revision"] + 1
        assert after["updated_at"] > before["updated_at"]
        assert after["completed"] is not before["completed"]
    assert alice.get(task.url).json() == versions[-1]


def test_tasks_of_one_batch_are_listed_last_first(alice: User) -> None:
    done = results(batch(alice, *(creates(str(number)) for number in range(100))))

    listed = alice.get(alice.tasks, params={"limit": 100}).json()
    assert listed == [each["task"] for each in reversed(done)]


@pytest.mark.parametrize(
    ("refused", "status", "name"),
    [
        (lambda task: does("toggle", str(uuid4())), 404, "task-not-found"),
        (lambda task: does("restore", str(uuid4())), 404, "task-not-found"),
        (lambda task: creates(id=task.document["id"].upper()), 409, "id-taken"),
        (lambda task: does("delete", task, if_match=1), 412, "task-changed"),
    ],
)
def test_failing_operation_rolls_the_batch_back_and_is_named(
    alice: User, refused: Callable[[Task], Operation], status: int, name: str
) -> None:
    task, other = alice.creates(), alice.creates("other")
    before = everything(alice)

    response = batch(alice, creates(), does("delete", other), refused(task), creates())

    problem = assert_problem(response, status, name)
    assert [fault["pointer"] for fault in problem["errors"]] == ["/operations/2"]
    assert problem.get("current", task.document) == task.document
    assert everything(alice) == before


def test_batch_is_atomic_by_default(alice: User) -> None:
    refused = does("toggle", str(uuid4()))

    assert batch(alice, creates(), refused).status_code == 404
    assert batch(alice, creates(), refused, atomic=True).status_code == 404
    assert alice.get(alice.tasks).json() == []
    assert batch(alice, creates(), refused, atomic=False).status_code == 200
    assert len(alice.get(alice.tasks).json()) == 1


def test_operation_with_a_taken_id_has_its_location(alice: User, task: Task) -> None:
    response = batch(alice, creates(id=task.document["id"]))

    assert response.headers["location"] == task.url


def test_failed_batch_reveals_no_version_that_was_rolled_back(alice: User, task: Task) -> None:
    stale = does("toggle", task, if_match=task.document["revision"])
    new = str(uuid4())

    changed = assert_problem(batch(alice, stale, stale), 412, "task-changed")
    twice = assert_problem(batch(alice, creates(id=new), creates(id=new)), 409, "id-taken")

    assert changed["current"] == task.document
    assert str(task.document["revision"] + 1) not in changed["detail"]
    assert "current" not in twice


def test_failed_batch_creates_no_user(alice: User, database_url: str) -> None:
    batch(alice, creates(), does("toggle", str(uuid4())))
    batch(alice, does("toggle", str(uuid4())), atomic=False)

    assert alice.get(alice.tasks).headers["etag"] == 'W/"0"'


def test_task_of_another_user_is_not_found_in_a_batch(alice: User, bob: User, task: Task) -> None:
    assert_problem(batch(bob, does("delete", task)), 404, "task-not-found")
    results(batch(bob, creates("Bob's", id=task.document["id"])))

    assert alice.get(task.url).json() == task.document


# What a batch may do at most


def test_a_batch_makes_at_most_5000_changes(alice: User, database_url: str) -> None:
    groceries = alice.creates_list().document["id"]
    parent = alice.creates("parent")
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, parent_id)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', 1, '{parent.document['id']}'"
            " FROM generate_series(1, 1000) n"
        )
    moves = [does("update", parent, list_id=each) for each in (groceries, None) * 2]
    operations = [*moves, does("delete", parent), does("toggle", parent)]

    refused = batch(alice, *operations)
    after = alice.get(parent.url).json()
    done = results(batch(alice, *operations, atomic=False))

    assert_faults(refused, "/operations/4")
    assert "at most 5,000 changes" in refused.json()["errors"][0]["detail"]
    assert after == parent.document
    assert [each["status"] for each in done] == [200] * 4 + [422, 200]
    assert done[4]["problem"]["errors"] == refused.json()["errors"]
    assert len(alice.get(alice.trash).json()) == 0


# Each on its own


def test_operations_without_atomic_succeed_or_fail_alone(alice: User, task: Task) -> None:
    done = results(
        batch(
            alice,
            does("toggle", str(uuid4())),
            does("toggle", task, if_match=task.document["revision"]),
            does("toggle", task, if_match=task.document["revision"]),
            creates(id=task.document["id"]),
            does("delete", task),
            does("update", task, title="x"),
            atomic=False,
        )
    )

    assert [each["status"] for each in done] == [404, 200, 412, 409, 204, 404]
    for place, each in enumerate(done):
        if "problem" in each:
            assert each.keys() == {"status", "problem"}
            assert each["problem"]["status"] == each["status"]
            assert each["problem"]["errors"][0]["pointer"] == f"/operations/{place}"
    assert done[2]["problem"]["current"] == done[3]["problem"]["current"] == done[1]["task"]
    assert done[4] == {"status": 204}


def test_operation_without_effect_takes_no_revision(alice: User, task: Task) -> None:
    before = everything(alice)

    done = results(
        batch(
            alice,
            does("restore", task),
            does("update", task),
            does("toggle", task, if_match=1),
            atomic=False,
        )
    )

    assert [each.get("task") for each in done] == [task.document, task.document, None]
    assert everything(alice) == before


# What is sent


def test_fault_in_a_batch_has_its_pointer(alice: User) -> None:
    response = batch(
        alice,
        creates(""),
        {"op": "explode"},
        {"id": str(uuid4())},
        does("update", "x" * 36, colour="red"),
        does("toggle", str(uuid4()), if_match="x"),
        5,  # type: ignore[arg-type]
    )

    assert_faults(
        response,
        "/operations/0/title",
        "/operations/1/op",
        "/operations/2/op",
        "/operations/3/id",
        "/operations/3/colour",
        "/operations/4/if_match",
        "/operations/5",
    )
    assert len(response.json()["errors"]) == 7


def test_faults_of_a_batch_that_is_too_long_name_no_operation(alice: User) -> None:
    assert_faults(batch(alice, *[{"op": "create"}] * 101), "/operations")


@pytest.mark.parametrize("count", [0, 101])
def test_batch_has_one_to_a_hundred_operations(alice: User, count: int) -> None:
    assert_faults(batch(alice, *[creates()] * count), "/operations")


def test_server_can_require_if_match_in_a_batch(serve: Serve) -> None:
    with User(serve(ERRAND_REQUIRE_IF_MATCH="on")) as alice:
        task = alice.creates()
        bare, named = does("toggle", task), does("toggle", task, if_match=task.document["revision"])

        refused = batch(alice, creates(), bare, headers={"Idempotency-Key": "k"})
        done = results(batch(alice, creates(), bare, named, atomic=False))

        problem = assert_problem(refused, 428, "if-match-required")
        assert problem["errors"][0]["pointer"] == "/operations/1"
        assert [each["status"] for each in done] == [201, 428, 200]
        mended = batch(alice, creates(), headers={"Idempotency-Key": "k"})
        assert mended.status_code == 200


# Sent again


def test_batch_with_an_idempotency_key_is_replayed(alice: User, task: Task) -> None:
    mixed = [creates(), does("toggle", task), does("toggle", str(uuid4()))]
    key = {"Idempotency-Key": "8e03978e"}

    first = batch(alice, *mixed, atomic=False, headers=key)
    after = everything(alice)
    again = batch(alice, *mixed, atomic=False, headers=key)

    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    assert everything(alice) == after
    assert_problem(batch(alice, *mixed, headers=key), 422, "idempotency-key-reused")


def test_failed_batch_with_an_idempotency_key_is_replayed(alice: User, task: Task) -> None:
    refused = [does("toggle", task), does("toggle", str(uuid4()))]
    key = {"Idempotency-Key": "8e03978e"}

    first = batch(alice, *refused, headers=key)
    again = batch(alice, *refused, headers=key)

    assert_problem(first, 404, "task-not-found")
    assert again.content == first.content
    assert alice.get(task.url).json() == task.document


# At the same time


def test_racing_batches_and_single_writes_all_count(alice: User, servers: Servers) -> None:
    for _ in range(3):
        tasks = [alice.creates(), alice.creates()]
        both = [does("toggle", each) for each in tasks]
        requests = [
            lambda both=both: batch(alice, *both),
            lambda both=both: batch(alice, *reversed(both), creates("new")),
            lambda task=tasks[0]: alice.patch(f"{task.url}/complete"),
        ]

        answers = race(alice, servers, (requests * RACERS)[:RACERS])

        assert {each.status_code for each in answers} == {200}
        toggles = [3 + 3 + 2, 3 + 3]
        for task, count in zip(tasks, toggles, strict=True):
            assert alice.get(task.url).json()["completed"] is bool(count % 2)
        assert len({each["revision"] for each in alice.get(alice.tasks).json()}) == len(
            alice.get(alice.tasks).json()
        )


def test_one_of_racing_batches_with_one_etag_succeeds(alice: User, servers: Servers) -> None:
    task = alice.creates()
    wanted = [creates(), does("toggle", task, if_match=task.document["revision"])]

    answers = race(alice, servers, [lambda: batch(alice, *wanted)] * RACERS)

    assert sorted(each.status_code for each in answers) == [200] + [412] * (RACERS - 1)
    assert len(alice.get(alice.tasks).json()) == 2


def test_one_of_racing_batches_with_one_new_id_succeeds(alice: User, servers: Servers) -> None:
    alice.creates()
    wanted = creates(id=str(uuid4()))

    answers = race(alice, servers, [lambda: batch(alice, wanted)] * RACERS)

    assert sorted(each.status_code for each in answers) == [200] + [409] * (RACERS - 1)


def test_concurrent_first_batches_of_a_user_succeed(alice: User) -> None:
    with ThreadPoolExecutor(RACERS) as pool:
        answers = list(pool.map(lambda _: batch(alice, creates(), creates()), range(RACERS)))

    assert {each.status_code for each in answers} == {200}
    assert len(tasks_of(alice)) == 2 * RACERS


def test_copy_is_exact_while_batches_and_single_writes_race(alice: User) -> None:
    copy = Copy(alice)
    tasks = [alice.creates(str(number)) for number in range(4)]

    def write(number: int) -> httpx.Response:
        task, other = tasks[number % 4], tasks[(number + 1) % 4]
        if number % 3 == 0:
            return alice.patch(f"{task.url}/complete")
        ops = [creates(), does("delete", task), does("toggle", other), does("restore", task)]
        return batch(alice, *ops, atomic=False)

    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(write, number) for number in range(60)]
        while not all(each.done() for each in writing):
            copy.catches_up()
    copy.catches_up()

    assert {each.result().status_code for each in writing} <= {200, 404}
    assert copy.tasks == tasks_of(alice)


def test_batch_ends_a_long_poll(alice: User) -> None:
    copy = Copy(alice)
    alice.creates()
    copy.catches_up()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(copy.reads, wait=9)
        batch(alice, creates("first"), creates("second"))

        assert [each["title"] for each in waiting.result(timeout=5)] == ["first", "second"]


# In few round trips


@pytest.mark.plain_database(
    "it counts round trips, and on a node statements are prepared on demand"
)
def test_hundred_creations_take_as_many_round_trips_as_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    fetch = Connection.fetch

    def counted(self: Connection, sql: str, values: Any = None) -> Any:
        sent.append(sql)
        return fetch(self, sql, values)

    async def trips(count: int) -> int:
        settings = load_settings(database_url=database_url, pool_size=1, **PATIENT)
        async with database_at(settings.pool_options(), CATALOGUE) as database:
            for operations in ([creates()], [creates()] * count):
                sent.clear()
                await batches.run(
                    database, uuid4(), operations, atomic=True, requires_if_match=False
                )
            return len(sent)

    monkeypatch.setattr(Connection, "fetch", counted)

    assert asyncio.run(trips(1)) == asyncio.run(trips(100)) == 3


# As one by one

IDS = [str(UUID(int=number)) for number in range(1, 4)]
UNKNOWN = str(UUID(int=9))
MORE_VALUES = {"list_id": [UNKNOWN], "parent_id": [UNKNOWN, *IDS]}
FIELDS = {
    name: st.sampled_from([*values_of(schema), *MORE_VALUES.get(name, [])])
    for name, schema in WRITABLE.items()
}
with_one_date = partial(agreeing, groups=(EXCLUSIVE,))
ABOUT = {"id": st.sampled_from(IDS)}
NEW = st.fixed_dictionaries(
    {
        "op": st.just("create"),
        "id": st.sampled_from(IDS),
        **{name: FIELDS[name] for name in REQUIRED},
    },
    optional={name: each for name, each in FIELDS.items() if name not in REQUIRED},
).map(with_one_date)
CHANGES = st.fixed_dictionaries(
    {"op": st.sampled_from(["toggle", "delete", "restore"]), **ABOUT},
    optional={"if_match": st.sampled_from([1, "current"])},
) | st.fixed_dictionaries(
    {"op": st.just("update"), **ABOUT},
    optional={**FIELDS, "if_match": st.sampled_from([1, "current"])},
).map(with_one_date)
WAYS = {
    "update": ("PATCH", ""),
    "toggle": ("PATCH", "/complete"),
    "delete": ("DELETE", ""),
    "restore": ("POST", "/restore"),
}


def alone(user: User, operation: Operation) -> httpx.Response:
    """The operation as a request of its own."""
    fields = {name: each for name, each in operation.items() if name not in ("op", "if_match")}
    if operation["op"] == "create":
        return user.post(user.tasks, json=fields)
    method, rest = WAYS[operation["op"]]
    headers = {"If-Match": f'"{operation["if_match"]}"'} if "if_match" in operation else {}
    url = f"{user.tasks}/{fields.pop('id')}{rest}"
    if operation["op"] == "update":
        return user.patch(url, headers=headers, json=fields)
    return user.request(method, url, headers=headers)


def essence(task: dict[str, Any] | None) -> Any:
    """A task without ids, times and revisions, nor a position that is computed from one."""
    kept = [name for name in ("id", *WRITABLE) if name != "position"]
    position = task and re.sub("^m[0-9a-f]{13}$", "of a revision", task["position"])
    return task and [*(task[name] for name in kept), position, completed_in_this_change(task)]


def completed_in_this_change(task: dict[str, Any]) -> bool | None:
    """Whether its latest change completed it; None if it is open."""
    return task["completed_at"] and bool(task["completed_at"] == task["updated_at"])


def as_found(user: User, operation: Operation, revisions: dict[str, int]) -> Operation:
    """The operation with the version that the task has before the first of them."""
    if operation.get("if_match") == "current":
        return {**operation, "if_match": revisions.get(operation["id"], 1)}
    return operation


def revisions_of(user: User) -> dict[str, int]:
    shown = [*user.get(user.tasks).json(), *user.get(user.trash).json()]
    return {task["id"]: task["revision"] for task in shown}


@property_settings(60)
@given(
    st.lists(NEW | CHANGES, max_size=4),
    st.lists(NEW | CHANGES, min_size=1, max_size=8),
    st.booleans(),
)
def test_batch_equals_its_operations_one_by_one(
    server: str, before: list[Operation], operations: list[Operation], atomic: bool
) -> None:
    with User(server) as at_once, User(server) as one_by_one:
        for user in (at_once, one_by_one):
            create_references(user)
            for operation in before:
                alone(user, as_found(user, operation, {}))
        found = {user.id: revisions_of(user) for user in (at_once, one_by_one)}
        unchanged = everything(at_once)
        single = [
            alone(one_by_one, as_found(one_by_one, each, found[one_by_one.id]))
            for each in operations
        ]
        wanted = [as_found(at_once, each, found[at_once.id]) for each in operations]

        response = batch(at_once, *wanted, atomic=atomic)

        refused = [place for place, each in enumerate(single) if each.status_code >= 400]
        if atomic and refused:
            assert_same_refusal(response.json(), single[refused[0]].json(), located=True)
            pointer = response.json()["errors"][0]["pointer"]
            assert pointer.startswith(f"/operations/{refused[0]}")
            assert everything(at_once) == unchanged
            return
        done = results(response)
        assert [each["status"] for each in done] == [each.status_code for each in single]
        for mine, theirs in zip(done, single, strict=True):
            if "problem" in mine:
                assert_same_refusal(mine["problem"], theirs.json())
            elif theirs.status_code != 204:
                assert essence(mine["task"]) == essence(theirs.json())
        for mine, theirs in zip(everything(at_once)[:2], everything(one_by_one)[:2], strict=True):
            assert list(map(essence, mine)) == list(map(essence, theirs))
        if not any({*PLACE} & each.keys() for each in (*before, *operations)):
            assert_revisions_ascend(done, operations, found[at_once.id])


def assert_same_refusal(mine: Any, theirs: Any, *, located: bool = False) -> None:
    """Assert one type; and the same task, unless an atomic batch had made it."""
    assert (mine["type"], mine["status"]) == (theirs["type"], theirs["status"])
    if not located:
        for member in ("current", "deleted_task"):
            assert essence(mine.get(member)) == essence(theirs.get(member))


def assert_revisions_ascend(
    done: list[dict[str, Any]], operations: list[Operation], known: dict[str, int]
) -> None:
    """Each changed task has a higher revision than all tasks before."""
    highest = max(known.values(), default=0)
    for each, operation in zip(done, operations, strict=True):
        if "task" not in each:
            continue
        revision = each["task"]["revision"]
        if revision != known.get(operation["id"]):
            assert revision > highest
        highest = max(highest, revision)
        known[operation["id"]] = revision
