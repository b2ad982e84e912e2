"""What a user can do with tasks, over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from tests.support.cases import for_each
from tests.support.databases import as_owner
from tests.support.fields import defaults_at
from tests.support.responses import assert_faults, assert_problem
from tests.support.users import Task, User

EVERY_KIND_OF_TEXT = [
    "emoji 👩‍👩‍👧‍👦",
    "שלום عليكم",
    "line\r\nbreak\ttab",
    " spaces ",
    "e\u0301 é",
    "'; --",
    "%s %(x)s $1",
    "\\N \\x00",
    "\x7f\u2028\ufeff",
]

# Of each moment three, so that pages end among tasks of one moment too.
TEN_THOUSAND_TASKS = """
    INSERT INTO users (id) VALUES (%(user_id)s);
    INSERT INTO tasks (user_id, id, title, revision, created_at)
    SELECT users.id, gen_random_uuid(), number, revision + number,
           now() - number / 3 * interval '1 millisecond'
      FROM users, generate_series(1, 10000) AS number
     WHERE users.id = %(user_id)s
    RETURNING id
"""


def test_task_needs_only_a_title(alice: User) -> None:
    response = alice.post(alice.tasks, json={"title": "Buy milk"})

    assert response.status_code == 201
    task = response.json()
    assert UUID(task["id"]).version == 7
    assert response.headers["location"] == f"{alice.tasks}/{task['id']}"
    assert task == {
        "id": task["id"],
        "user_id": alice.id,
        **defaults_at(task["revision"]),
        "title": "Buy milk",
        "series_id": None,
        "completed_at": None,
        "created_at": task["created_at"],
        "updated_at": task["created_at"],
        "revision": task["revision"],
    }


def test_task_can_be_created_with_every_field(alice: User) -> None:
    fields = {"title": "Buy milk", "description": "Two litres", "completed": True}

    created = alice.post(alice.tasks, json=fields).json()

    assert {name: created[name] for name in fields} == fields


def test_created_task_can_be_read(alice: User, task: Task) -> None:
    response = alice.get(task.url)

    assert response.status_code == 200
    assert response.json() == task.document


@for_each("text", EVERY_KIND_OF_TEXT)
def test_text_is_stored_unchanged(alice: User, text: str) -> None:
    created = alice.creates(title=text, description=text)

    stored = alice.get(created.url).json()

    assert (stored["title"], stored["description"]) == (text, text)


def test_title_has_up_to_255_code_points(alice: User) -> None:
    longest = "👍" * 255

    assert alice.creates(longest).document["title"] == longest
    assert_faults(alice.post(alice.tasks, json={"title": longest + "!"}), "/title")
    assert_faults(alice.post(alice.tasks, json={"title": ""}), "/title")


def test_description_has_up_to_2000_code_points(alice: User) -> None:
    longest = "👍" * 2000

    assert alice.creates(description=longest).document["description"] == longest
    response = alice.post(alice.tasks, json={"title": "x", "description": longest + "!"})
    assert_faults(response, "/description")


@for_each("body", [{"title": "a\0b"}, {"title": "x", "description": "\0"}])
def test_nul_is_refused(alice: User, body: dict[str, str]) -> None:
    response = alice.post(alice.tasks, json=body)

    assert_problem(response, 422, "invalid-request")


def test_every_fault_is_reported_at_once_with_its_location(alice: User) -> None:
    body = {"title": "", "description": 5, "completed": "yes", "a/b~": 1, "id": "mine"}

    response = alice.post(f"{alice.tasks}", json=body)

    assert_faults(response, "/title", "/description", "/completed", "/a~1b~0", "/id")


def test_faults_of_parameters_and_body_are_reported_together(alice: User) -> None:
    response = alice.put("/api/me/tasks/that?x=1", json={})

    assert_faults(response, "user_id", "task_id", "x", "")


def test_unknown_user_has_an_empty_list(alice: User) -> None:
    response = alice.get(alice.tasks)

    assert response.status_code == 200
    assert response.json() == []


def test_list_is_newest_first(alice: User) -> None:
    created = [alice.creates(str(number)).document for number in range(5)]

    assert alice.get(alice.tasks).json() == created[::-1]


@pytest.mark.parametrize("completed", [True, False])
def test_list_can_be_filtered_by_completed(alice: User, completed: bool) -> None:
    alice.creates("open")
    alice.creates("done", completed=True)

    tasks = alice.get(alice.tasks, params={"completed": completed}).json()

    assert [task["completed"] for task in tasks] == [completed]


def test_page_links_to_its_neighbours(alice: User) -> None:
    for number in range(5):
        alice.creates(str(number), completed=True)

    middle = alice.get(alice.tasks, params={"offset": 2, "limit": 2, "completed": True})

    assert {name: link["url"] for name, link in middle.links.items()} == {
        "first": f"{alice.tasks}?offset=0&limit=2&completed=true",
        "prev": f"{alice.tasks}?offset=0&limit=2&completed=true",
        "next": f"{alice.tasks}?offset=4&limit=2&completed=true",
    }


def test_last_page_has_no_next_link_and_first_page_no_prev_link(alice: User) -> None:
    for number in range(4):
        alice.creates(str(number))

    first = alice.get(alice.tasks, params={"limit": 2})
    last = alice.get(first.links["next"]["url"])

    assert first.links.keys() == {"first", "next"}
    assert last.links.keys() == {"first", "prev"}


def test_ten_thousand_tasks_page_through_without_a_gap_or_a_repeat(
    alice: User, database_url: str
) -> None:
    with psycopg2.connect(as_owner(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(TEN_THOUSAND_TASKS, {"user_id": alice.id})
        created = {str(row[0]) for row in cursor.fetchall()}
    connection.close()

    seen: list[str] = []
    page = alice.get(alice.tasks, params={"limit": 100})
    while True:
        seen += [task["id"] for task in page.json()]
        if "next" not in page.links:
            break
        page = alice.get(page.links["next"]["url"])

    assert len(seen) == 10_000
    assert set(seen) == created


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Buy oat milk"},
        {"description": "One litre"},
        {"description": None},
        {"completed": True},
        {"title": "x", "description": "y", "completed": True},
    ],
)
def test_update_changes_the_named_fields_only(
    alice: User, task: Task, changes: dict[str, Any]
) -> None:
    response = alice.put(task.url, json=changes)

    assert response.status_code == 200
    updated = response.json()
    stamps = ["updated_at", "revision", *(["completed_at"] if "completed" in changes else [])]
    assert updated == {
        **task.document,
        **changes,
        **{name: updated[name] for name in stamps},
    }
    assert alice.get(task.url).json() == updated


@for_each("field", ["id", "user_id", "created_at", "updated_at", "revision"])
def test_read_only_field_is_refused(alice: User, task: Task, field: str) -> None:
    response = alice.put(task.url, json={"title": "x", field: task.document.get(field, 1)})

    assert_faults(response, f"/{field}")


def test_update_without_fields_is_refused(alice: User, task: Task) -> None:
    assert_faults(alice.put(task.url, json={}), "")


def test_null_title_is_refused(alice: User, task: Task) -> None:
    assert_faults(
        alice.put(task.url, json={"title": None, "completed": None}), "/title", "/completed"
    )


def test_every_change_sets_updated_at_and_keeps_created_at(alice: User, task: Task) -> None:
    versions = [task.document]

    versions.append(alice.put(task.url, json={"title": task.document["title"]}).json())
    versions.append(alice.patch(f"{task.url}/complete").json())
    versions.append(alice.patch(f"{task.url}/complete").json())

    moments = [version["updated_at"] for version in versions]
    assert moments == sorted(set(moments))
    assert {version["created_at"] for version in versions} == {task.document["created_at"]}


def test_deleted_task_returns_404(alice: User, task: Task) -> None:
    response = alice.delete(task.url)

    assert response.status_code == 204
    assert response.content == b""
    assert "content-type" not in response.headers
    assert alice.get(alice.tasks).json() == []
    for again in (
        alice.get(task.url),
        alice.delete(task.url),
        alice.put(task.url, json={"title": "x"}),
        alice.patch(f"{task.url}/complete"),
    ):
        assert_problem(again, 404, "task-not-found")


def test_toggle_completes_and_reopens(alice: User, task: Task) -> None:
    once = alice.patch(f"{task.url}/complete").json()
    twice = alice.patch(f"{task.url}/complete").json()

    assert (once["completed"], twice["completed"]) == (True, False)


def test_task_of_another_user_returns_404(alice: User, bob: User, task: Task) -> None:
    theirs = task.url.replace(alice.id, bob.id)

    for response in (
        bob.get(theirs),
        bob.put(theirs, json={"title": "mine"}),
        bob.patch(f"{theirs}/complete"),
        bob.delete(theirs),
    ):
        assert_problem(response, 404, "task-not-found")
    assert bob.get(bob.tasks).json() == []
    assert alice.get(task.url).json() == task.document


def test_task_id_is_case_insensitive(alice: User, task: Task) -> None:
    loud = f"/api/{alice.id.upper()}/tasks/{task.document['id'].upper()}"

    assert alice.get(loud).json() == task.document


@for_each("method", ["GET", "PUT", "DELETE"])
def test_unknown_task_returns_404(alice: User, method: str) -> None:
    body = {"title": "x"} if method == "PUT" else None

    response = alice.request(method, f"{alice.tasks}/{uuid4()}", json=body)

    assert_problem(response, 404, "task-not-found")


def test_racing_toggles_all_count(alice: User, task: Task) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: alice.patch(f"{task.url}/complete"), range(201)))

    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["completed"] for answer in answers) == 101
    assert alice.get(task.url).json()["completed"] is True


def test_a_hundred_concurrent_creations_all_succeed(alice: User) -> None:
    with ThreadPoolExecutor(100) as pool:
        created = list(pool.map(lambda number: alice.creates(str(number)), range(100)))

    listed = alice.get(alice.tasks, params={"limit": 100}).json()
    assert {task["id"] for task in listed} == {task.document["id"] for task in created}


def test_every_write_takes_the_next_revision_of_its_user(
    alice: User, task: Task, database_url: str
) -> None:
    first = task.document["revision"]
    alice.patch(f"{task.url}/complete")
    alice.put(task.url, json={"title": "x"})
    alice.creates("second")
    alice.delete(task.url)

    with psycopg2.connect(as_owner(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT revision FROM users WHERE id = %s", [alice.id])
        assert cursor.fetchall() == [(first + 4,)]
        cursor.execute(
            "SELECT title, deleted_at IS NOT NULL, revision FROM tasks"
            " WHERE user_id = %s ORDER BY revision",
            [alice.id],
        )
        assert cursor.fetchall() == [("second", False, first + 3), ("x", True, first + 4)]
    connection.close()
