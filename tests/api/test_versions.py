"""ETags: If-None-Match saves a transfer, If-Match prevents a lost update."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import httpx
import psycopg2

from tests.support.cases import for_each
from tests.support.operations import OPERATIONS, Operation, ask
from tests.support.races import RACERS, Servers, race
from tests.support.responses import assert_faults, assert_problem
from tests.support.servers import Serve
from tests.support.users import Task, User

RESTORE = OPERATIONS["restore_task"]
# Restoring has its tests in test_trash.py.
# Those of lists are in test_lists.py.
CHANGES = [
    each
    for each in OPERATIONS.values()
    if each.takes("If-Match") and each != RESTORE and "{list_id}" not in each.path
]
READS = [each for each in OPERATIONS.values() if each.method == "GET"]

every_change = for_each("change", CHANGES, ids=lambda each: each.id)


def about(task: Task) -> dict[str, str]:
    return {"user_id": task.document["user_id"], "task_id": task.document["id"]}


def change_if(
    tag: str, change: Operation, user: User, task: Task, **headers: str
) -> httpx.Response:
    """Send a write of the task with that ETag as its condition."""
    written = httpx.Headers({"If-Match": tag, **headers}, encoding="latin-1")
    return ask(user, change, ids=about(task), headers=written)


def test_every_response_with_one_task_has_its_etag(alice: User) -> None:
    created = alice.post(alice.tasks, json={"title": "Buy milk"})
    url = created.headers["location"]

    answers = [
        created,
        alice.get(url),
        alice.put(url, json={"completed": True}),
        alice.patch(f"{url}/complete"),
    ]

    tags = [response.headers["etag"] for response in answers]
    assert tags == [f'"{response.json()["revision"]}"' for response in answers]
    assert tags[0] == tags[1]
    assert len(set(tags)) == 3


def test_head_has_the_etag_too(alice: User, task: Task) -> None:
    assert alice.head(task.url).headers["etag"] == task.etag


@for_each("written", ["{}", "W/{}", '"x", {}', '"x" ,\t W/{}', ",,{},", '"x,y",{},""', "*"])
def test_task_with_a_matching_etag_returns_304(alice: User, written: str) -> None:
    task = alice.creates()
    known = {"If-None-Match": written.format(task.etag)}

    response = alice.get(task.url, headers=known)

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == task.etag
    assert "content-type" not in response.headers
    assert alice.put(task.url, json={"completed": True}).status_code == 200
    changed = alice.get(task.url, headers=known)
    assert changed.status_code == (304 if written == "*" else 200)


@for_each("written", ['"{}"', '"0{}"', '"{}0"', '"W/{}"', '"x", "y"', '""', '"é"'])
def test_task_with_another_etag_is_sent(alice: User, task: Task, written: str) -> None:
    tag = written.format(task.document["revision"] - 1).encode("latin-1")

    assert alice.get(task.url, headers={b"If-None-Match": tag}).status_code == 200


def test_missing_task_returns_404_whatever_if_none_match_is(alice: User) -> None:
    response = alice.get(f"{alice.tasks}/{uuid4()}", headers={"If-None-Match": "*"})

    assert_problem(response, 404, "task-not-found")


def test_list_with_a_matching_etag_returns_304(alice: User, task: Task) -> None:
    first = alice.get(alice.tasks, params={"limit": 10})

    again = alice.get(alice.tasks, headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["etag"] == f"W/{task.etag}"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


def recurring(alice: User) -> Task:
    """A task that can be skipped."""
    return alice.creates(due_on="2026-01-31", recurrence="FREQ=DAILY")


@for_each("change", [*CHANGES, OPERATIONS["create_task"]], ids=lambda each: each.id)
def test_every_write_changes_the_etag_of_the_lists(alice: User, change: Operation) -> None:
    task = recurring(alice) if change.id == "skip_task" else alice.creates()
    known = {"If-None-Match": alice.get(alice.tasks).headers["etag"]}

    assert ask(alice, change, ids=about(task)).is_success

    response = alice.get(alice.tasks, headers=known)
    assert response.status_code == 200
    assert response.headers["etag"] != known["If-None-Match"]


def test_refused_write_keeps_the_etag_of_the_lists(alice: User, task: Task) -> None:
    known = {"If-None-Match": alice.get(alice.tasks).headers["etag"]}

    for refused in (
        alice.post(alice.tasks, json={"title": "x", "id": task.document["id"]}),
        alice.put(task.url, json={"title": "x"}, headers={"If-Match": '"1"'}),
        alice.delete(task.url, headers={"If-Match": '"1"'}),
        alice.delete(f"{alice.tasks}/{uuid4()}"),
    ):
        assert refused.is_client_error

    assert alice.get(alice.tasks, headers=known).status_code == 304


def test_empty_list_has_an_etag(alice: User, task: Task) -> None:
    alice.delete(task.url)

    emptied = alice.get(alice.tasks)
    beyond = alice.get(alice.tasks, params={"offset": 1000})

    assert emptied.json() == beyond.json() == []
    assert emptied.headers["etag"] == beyond.headers["etag"] > f"W/{task.etag}"
    known = {"If-None-Match": emptied.headers["etag"]}
    assert alice.get(alice.tasks, headers=known).status_code == 304


def test_etag_of_an_empty_list_is_never_that_of_a_list_with_a_task(server: str) -> None:
    for _ in range(30):
        with User(server) as newcomer, ThreadPoolExecutor(RACERS) as pool:
            lists = [pool.submit(newcomer.get, newcomer.tasks) for _ in range(RACERS - 1)]
            pool.submit(newcomer.post, newcomer.tasks, json={"title": "Buy milk"}).result()
            empty = [each.result() for each in lists if each.result().json() == []]

            for each in empty:
                known = {"If-None-Match": each.headers["etag"]}
                assert newcomer.get(newcomer.tasks, headers=known).status_code == 200


def test_unknown_user_has_revision_0(bob: User) -> None:
    first = bob.get(bob.tasks)

    assert first.headers["etag"] == 'W/"0"'
    assert bob.get(bob.tasks, headers={"If-None-Match": 'W/"0"'}).status_code == 304
    bob.creates()
    assert bob.get(bob.tasks, headers={"If-None-Match": 'W/"0"'}).status_code == 200


def test_revisions_grow_across_an_erasure(alice: User, task: Task, database_url: str) -> None:
    last = [alice.patch(f"{task.url}/complete").json()["revision"] for _ in range(100)][-1]

    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM users WHERE id = %s", [alice.id])
    connection.close()

    assert last < alice.creates().document["revision"] < 2**53


@every_change
@for_each("written", ["{}", '"x", {}', 'W/"1" ,{}', ",{} , ,", "*"])
def test_write_with_a_matching_if_match_succeeds(
    alice: User, change: Operation, written: str
) -> None:
    task = alice.creates()

    response = change_if(written.format(task.etag), change, alice, task)

    assert response.status_code == change.success


@every_change
@for_each("written", ['"1"', "W/{}", '"W/{}"', '"0{}"', '"", "x"', '"é"'])
def test_stale_if_match_returns_412_with_current_task(
    alice: User, task: Task, change: Operation, written: str
) -> None:
    tag = written.format(task.etag if written == "W/{}" else task.document["revision"])

    response = change_if(tag, change, alice, task)

    problem = assert_problem(response, 412, "task-changed")
    assert problem["title"] == "The task has changed"
    assert problem["current"] == alice.get(task.url).json() == task.document


def test_update_with_a_stale_etag_returns_412(alice: User, task: Task) -> None:
    current = alice.put(task.url, json={"title": "new"}, headers={"If-Match": task.etag})

    response = alice.put(task.url, json={"title": "newer"}, headers={"If-Match": task.etag})

    assert assert_problem(response, 412, "task-changed")["current"] == current.json()


@every_change
@for_each("tag", ["*", '"1"', "{}"])
def test_deleted_task_returns_404_whatever_if_match_is(
    alice: User, task: Task, change: Operation, tag: str
) -> None:
    alice.delete(task.url)

    response = change_if(tag.format(task.etag), change, alice, task)

    assert_problem(response, 404, "task-not-found")


@for_each(
    "written", ["", "1", '"1', '1"', "w/*", '*, "1"', '"1" "2"', 'w/"1"', '"a b"', "'1'", ","]
)
def test_malformed_etag_is_a_fault_of_its_header(alice: User, task: Task, written: str) -> None:
    changed = alice.put(task.url, json={"title": "x"}, headers={"If-Match": written})
    read = alice.get(task.url, headers={"If-None-Match": written})

    assert_faults(changed, "If-Match")
    assert_faults(read, "If-None-Match")
    assert alice.get(task.url).json() == task.document


def test_etags_in_two_headers_are_one_list(alice: User, task: Task) -> None:
    twice = [("If-Match", '"1"'), ("If-Match", task.etag)]

    assert alice.put(task.url, json={"title": "x"}, headers=twice).status_code == 200


@for_each(
    ("operation", "condition"),
    [
        (operation, condition)
        for operation in OPERATIONS.values()
        for condition in ("If-Match", "If-None-Match", "If-Unmodified-Since")
        if not operation.takes(condition)
    ],
    ids=lambda case: f"{case[0].id}-{case[1]}",
)
def test_condition_that_would_be_ignored_is_refused(
    alice: User, task: Task, operation: Operation, condition: str
) -> None:
    response = ask(alice, operation, ids=about(task), headers={condition: "*"})

    assert_faults(response, condition)
    assert alice.get(task.url).json() == task.document


@every_change
def test_date_condition_beside_an_etag_is_ignored(alice: User, change: Operation) -> None:
    task = alice.creates()
    long_ago = {"If-Unmodified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}

    response = change_if(task.etag, change, alice, task, **long_ago)

    assert response.status_code == change.success


@for_each("operation", READS, ids=lambda each: each.id)
def test_conditions_on_dates_and_ranges_are_ignored(
    alice: User, task: Task, operation: Operation
) -> None:
    headers = {
        "If-Modified-Since": "Sat, 29 Oct 2094 19:43:31 GMT",
        "If-Range": '"x"',
        "Range": "bytes=0-1",
    }

    assert ask(alice, operation, ids=about(task), headers=headers).status_code == 200


@every_change
def test_one_of_racing_writes_with_one_etag_succeeds(
    alice: User, change: Operation, servers: Servers
) -> None:
    task = recurring(alice) if change.id == "skip_task" else alice.creates()
    answers = race(alice, servers, [lambda: change_if(task.etag, change, alice, task)] * RACERS)

    statuses = [answer.status_code for answer in answers]
    lost = 404 if change.id == "delete_task" else 412
    assert sorted(statuses) == sorted([change.success] + [lost] * (RACERS - 1))


def test_racing_writes_that_retry_all_count(alice: User, task: Task) -> None:
    def append(letter: str) -> None:
        current = alice.get(task.url).json()
        while True:
            tag = {"If-Match": f'"{current["revision"]}"'}
            response = alice.put(task.url, json={"title": current["title"] + letter}, headers=tag)
            if response.status_code == 200:
                return
            current = assert_problem(response, 412, "task-changed")["current"]

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(append, "abcdefghijklmnop"))

    title = alice.get(task.url).json()["title"].removeprefix(task.document["title"])
    assert sorted(title) == list("abcdefghijklmnop")


def test_delete_and_toggle_with_one_etag_never_both_succeed(alice: User, servers: Servers) -> None:
    delete, toggle = OPERATIONS["delete_task"], OPERATIONS["toggle_task"]
    for _ in range(5):
        task = alice.creates()
        one_each = [partial(change_if, task.etag, each, alice, task) for each in (delete, toggle)]

        answers = race(alice, servers, one_each * (RACERS // 2))

        [won] = [answer for answer in answers if answer.is_success]
        assert alice.get(task.url).status_code == (404 if won.status_code == 204 else 200)


def test_server_can_require_if_match(serve: Serve) -> None:
    with User(serve(ERRAND_REQUIRE_IF_MATCH="on")) as alice:
        task = alice.creates()
        for change in (*CHANGES, RESTORE):
            assert_problem(ask(alice, change, ids=about(task)), 428, "if-match-required")
        assert alice.get(task.url).json() == task.document

        for change in CHANGES:
            current = alice.creates()
            assert change_if(current.etag, change, alice, current).status_code == change.success


def test_faults_are_reported_before_a_missing_if_match(serve: Serve) -> None:
    with User(serve(ERRAND_REQUIRE_IF_MATCH="on")) as alice:
        assert_faults(alice.put(f"{alice.tasks}/{uuid4()}", json={"title": ""}), "/title")
