"""An import: all of a file, or nothing; what was exported comes back as it was."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import psutil
import pytest

from tests.support.databases import MANY_TASKS, administration
from tests.support.feed import Copy, digest_of, lists_of, tasks_of
from tests.support.responses import assert_problem
from tests.support.servers import started, url_of
from tests.support.users import User, in_trash

MEDIA_TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "ics": "text/calendar",
    "json": "application/json",
}
NOTHING = {"created": 0, "changed": 0, "unchanged": 0}


def exported(user: User, format_: str = "jsonl") -> bytes:
    response = user.get(f"/api/{user.id}/export", params={"format": format_})
    assert response.status_code == 200, response.text
    return response.content


def sent(user: User, content: bytes | str, format_: str, **query: Any) -> httpx.Response:
    headers = {"Content-Type": MEDIA_TYPES[format_]}
    return user.post(f"/api/{user.id}/import", content=content, headers=headers, params=query)


def imported(user: User, content: bytes | str, format_: str, **query: Any) -> dict[str, Any]:
    response = sent(user, content, format_, **query)
    assert response.status_code == 200, response.text
    result: dict[str, Any] = response.json()
    return result


def faults_of(response: httpx.Response) -> list[tuple[int | None, str]]:
    problem = assert_problem(response, 422, "invalid-request")
    return [(fault.get("line"), fault["pointer"]) for fault in problem["errors"]]


def copied_digest(user: User) -> int:
    copy = Copy(user)
    copy.catches_up()
    return copy.digest


@pytest.fixture
def full(alice: User) -> User:
    """A user with something of everything."""
    kept, gone = alice.creates_list("Kept").document, alice.creates_list("Gone")
    parent = alice.creates("parent", list_id=kept["id"], tags=["a,b", "ç"]).document
    alice.creates("=child", parent_id=parent["id"], description="", priority="high")
    alice.creates("in a list that is gone", list_id=gone.document["id"])
    alice.delete(gone.url)
    deleted = alice.creates("with a child")
    alice.creates("child of a deleted", parent_id=deleted.document["id"])
    alice.delete(deleted.url)
    due: dict[str, Any] = {"due_at": "2026-03-28T01:30:00Z", "time_zone": "Europe/Berlin"}
    due["reminders"] = [{"before": "PT1H"}, {"at": "2026-03-27T08:00:00Z"}]
    recurring = alice.creates("daily", recurrence="FREQ=DAILY;COUNT=5", **due)
    alice.patch(f"{recurring.url}/complete")
    for title in ("done first", "done last"):
        task = alice.creates(title, due_on="2026-01-31", start_on="2026-01-30")
        alice.patch(f"{task.url}/complete")
    return alice


def test_export_erase_import_is_the_same_digest(full: User) -> None:
    before, lines, digest = tasks_of(full), exported(full), copied_digest(full)
    lists, trash = lists_of(full), in_trash(full)
    by_completion = full.get(full.tasks, params={"sort": "completed_at"}).json()
    full.delete(f"/api/{full.id}")

    result = imported(full, lines, "jsonl")

    assert copied_digest(full) == digest
    assert tasks_of(full) == before
    assert lists_of(full) == lists
    assert in_trash(full) == trash
    assert full.get(full.tasks, params={"sort": "completed_at"}).json() == by_completion
    assert exported(full).splitlines()[1:] == lines.splitlines()[1:]
    assert result["tasks"] == {"created": len(before) + len(trash), "changed": 0, "unchanged": 0}


def test_what_a_deletion_took_along_comes_back_with_it_after_an_import(
    full: User, bob: User
) -> None:
    lines = exported(full)
    bob.creates("other")

    imported(bob, lines, "jsonl")
    deleted = {each["title"]: each for each in in_trash(bob)}
    bob.post(f"{bob.tasks}/{deleted['with a child']['id']}/restore")
    titles = {each["title"] for each in tasks_of(bob).values()}

    assert {"with a child", "child of a deleted", "other", "parent"} <= titles
    assert [each["title"] for each in in_trash(bob)] == ["in a list that is gone"]


@pytest.mark.parametrize("format_", ["jsonl", "csv", "ics"])
def test_the_same_file_twice_changes_nothing(full: User, bob: User, format_: str) -> None:
    content = exported(full, format_)
    bob.creates("other")

    first = imported(bob, content, format_)
    feed = bob.get(f"/api/{bob.id}/changes").json()["next"]
    again = imported(bob, content, format_)

    assert first["tasks"]["created"] == again["tasks"]["unchanged"] > 5
    assert again["lists"]["created"] == again["lists"]["changed"] == 0
    assert (again["tasks"]["created"], again["tasks"]["changed"]) == (0, 0)
    assert bob.get(f"/api/{bob.id}/changes", params={"since": feed}).json()["changes"] == []


def test_an_import_into_what_it_was_exported_from_changes_nothing(full: User) -> None:
    digest = copied_digest(full)

    for format_ in ("jsonl", "csv"):
        result = imported(full, exported(full, format_), format_)
        assert result["tasks"]["created"] == result["tasks"]["changed"] == 0

    assert copied_digest(full) == digest


def test_csv_brings_every_field_to_another_user(full: User, bob: User) -> None:
    imported(bob, exported(full, "csv"), "csv")

    made = {"user_id", "revision", "updated_at"}
    assert [
        {name: each for name, each in task.items() if name not in made}
        for task in tasks_of(bob).values()
    ] == [
        {name: each for name, each in task.items() if name not in made}
        for task in tasks_of(full).values()
    ]
    assert {each["title"] for each in lists_of(bob).values()} == {"Kept"}


def test_an_imported_change_is_a_change_for_every_reader(alice: User) -> None:
    task = alice.creates("old")
    content = exported(alice, "csv").replace(b"old", b"new")
    copy = Copy(alice)
    copy.catches_up()

    result = imported(alice, content, "csv")
    [change] = copy.reads()

    assert result["tasks"] == {**NOTHING, "changed": 1}
    assert (change["title"], change["id"]) == ("new", task.document["id"])
    assert change["revision"] > task.document["revision"]


def test_readers_of_the_feed_from_before_an_erasure_begin_again(alice: User) -> None:
    alice.creates()
    lines = exported(alice)
    since = alice.get(f"/api/{alice.id}/changes").json()["next"]
    alice.delete(f"/api/{alice.id}")
    imported(alice, lines, "jsonl")

    response = alice.get(f"/api/{alice.id}/changes", params={"since": since})

    assert_problem(response, 410, "changes-forgotten")


def test_imported_tasks_are_found_by_their_words(full: User) -> None:
    lines = exported(full)
    full.get(full.tasks, params={"q": "child"})
    full.delete(f"/api/{full.id}")
    imported(full, lines, "jsonl")

    found = full.get(full.tasks, params={"q": "child"}).json()

    assert [each["title"] for each in found] == ["=child"]


def test_a_dry_run_stores_nothing_and_says_the_same(full: User, bob: User) -> None:
    content = exported(full)

    tried = imported(bob, content, "jsonl", dry_run=True)
    stored = exported(bob)
    done = imported(bob, content, "jsonl")

    assert len(stored.splitlines()) == 2
    assert tried == {**done, "dry_run": True}


def test_a_task_deleted_since_the_export_is_restored(alice: User) -> None:
    task = alice.creates()
    content = exported(alice, "csv")
    alice.delete(task.url)

    assert imported(alice, content, "csv")["tasks"] == {**NOTHING, "changed": 1}
    assert tasks_of(alice).keys() == {task.document["id"]}


def test_every_wrong_line_is_named_and_nothing_is_stored(alice: User) -> None:
    rows = [
        "title,completed,due_on,tags,list",
        "right,true,2026-01-31,x,Groceries",
        ",false,,,",
        "wrong,yes,2026-02-30,,",
        "too many,,,,,",
        f"{'x' * 256},,,,",
    ]

    response = sent(alice, "\r\n".join(rows), "csv")

    assert faults_of(response) == [
        (3, "/title"),
        (4, "/completed"),
        (4, "/due_on"),
        (5, ""),
        (6, "/title"),
    ]
    assert tasks_of(alice) == lists_of(alice) == {}


def test_wrong_places_are_named_with_their_lines(alice: User) -> None:
    a, b, c, d = (f"0190a1b2-0000-7000-8000-00000000000{n}" for n in range(4))
    rows = [
        "id,title,parent_id,list_id,list",
        f"{a},cycle,{b},,",
        f"{b},cycle,{a},,",
        f"{c},no parent,{d},,",
        f"0190a1b2-0000-7000-8000-000000000009,no list,,{d},",
    ]

    assert faults_of(sent(alice, "\n".join(rows), "csv")) == [(4, "/parent_id"), (5, "/list_id")]
    assert faults_of(sent(alice, "\n".join(rows[:3]), "csv")) == [
        (2, "/parent_id"),
        (3, "/parent_id"),
    ]
    assert tasks_of(alice) == {}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: lines[:-1], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[1], lines[-1]], 3),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
        (lambda lines: [*lines[:2], b"{", *lines[2:]], 3),
        (lambda lines: [lines[0], lines[1].replace(b'"title":"a"', b'"title":5'), *lines[2:]], 2),
        (lambda lines: [lines[0], lines[1].replace(b"Z", b"z0"), *lines[2:]], 2),
        (lambda lines: [b"\xff", *lines], 1),
        (lambda lines: [b"x" * 200_000, *lines], 1),
    ],
)
def test_a_damaged_export_is_refused(alice: User, change: Any, line: int) -> None:
    alice.creates("a")
    alice.creates("b")
    lines = exported(alice).splitlines()
    alice.delete(f"/api/{alice.id}")

    response = sent(alice, b"\n".join(change(lines)), "jsonl")

    assert line in {each for each, _ in faults_of(response)}
    assert tasks_of(alice) == {}


def changed_export(lines: bytes, **fields: Any) -> bytes:
    """The export with other fields in its last task, and a last line that says so."""
    *others, last, end = map(orjson.loads, lines.splitlines())
    last["task"].update(fields)
    end["digest"] = digest_of([line["task"] for line in (*others, last) if "task" in line])
    return b"\n".join(map(orjson.dumps, (*others, last, end)))


def test_lines_with_the_same_revision_are_refused(alice: User) -> None:
    first = alice.creates("a").document
    alice.creates("b")
    lines = exported(alice)
    alice.delete(f"/api/{alice.id}")

    response = sent(alice, changed_export(lines, revision=first["revision"]), "jsonl")

    assert faults_of(response) == [(None, "")]
    assert tasks_of(alice) == {}


@pytest.mark.parametrize(
    "future", [{"revision": 2**53 - 1}, {"updated_at": "9999-12-31T23:59:59.999999Z"}]
)
def test_revisions_and_times_of_the_future_are_replaced(
    alice: User, future: dict[str, Any]
) -> None:
    task = alice.creates("a").document
    lines = exported(alice)
    alice.delete(f"/api/{alice.id}")

    imported(alice, changed_export(lines, **future), "jsonl")

    [stored] = tasks_of(alice).values()
    assert task["revision"] < stored["revision"] < alice.creates("b").document["revision"] < 2**53
    assert stored["updated_at"] < "9999"


def test_completed_tasks_of_before_are_in_the_order_of_completion(alice: User) -> None:
    for title in ("first", "last"):
        alice.patch(f"{alice.creates(title).url}/complete")
    known = {each["title"]: each["completed_at"] for each in tasks_of(alice).values()}
    rows = [
        "title,completed,completed_at",
        "long ago,true,2020-01-01T00:00:00Z",
        f"between,true,{known['first'][:-1]}Z",
    ]
    imported(alice, "\n".join(rows), "csv")
    alice.patch(f"{alice.creates('now').url}/complete")

    found = alice.get(alice.tasks, params={"sort": "-completed_at"}).json()

    assert [each["title"] for each in found if each["title"] != "between"] == [
        "now",
        "last",
        "first",
        "long ago",
    ]
    times = [each["completed_at"] for each in found]
    assert times == sorted(times, reverse=True)


def test_a_completion_in_the_future_or_of_an_open_task_is_refused(alice: User) -> None:
    rows = [
        "title,completed,completed_at",
        "x,true,9000-01-01T00:00:00Z",
        "y,false,2020-01-01T00:00:00Z",
        "z,true,0001-01-01T00:00:00+05:00",
    ]

    response = sent(alice, "\n".join(rows[:3]), "csv")

    assert faults_of(response) == [(2, "/completed_at"), (3, "/completed_at")]
    assert faults_of(sent(alice, "\n".join([rows[0], rows[3]]), "csv")) == [(2, "/completed_at")]


def test_limits_of_a_user_hold(serve: Any) -> None:
    with User(serve(ERRAND_MAX_TASKS="3", ERRAND_MAX_LISTS="2", ERRAND_IMPORT_LIMIT="500")) as user:
        four = "title\na\nb\nc\nd\n"
        lists = "title,list\na,x\nb,y\nc,z\n"

        assert_problem(sent(user, four, "csv"), 403, "too-many-tasks")
        assert_problem(sent(user, lists, "csv"), 403, "too-many-lists")
        assert_problem(sent(user, four + "x" * 500, "csv"), 413, "body-too-large")
        assert tasks_of(user) == lists_of(user) == {}


def test_google_tasks_are_imported_with_their_lists_and_subtasks(alice: User) -> None:
    tasks = [
        {"id": "a", "title": "Buy milk", "due": "2026-01-31T00:00:00.000Z", "etag": "x"},
        {"id": "b", "title": "Bottles", "notes": "all", "parent": "a", "status": "completed"},
        {"id": "c", "title": "gone", "deleted": True},
        {"id": "d", "title": ""},
    ]
    document = {"kind": "tasks#taskLists", "items": [{"id": "l", "title": "Home", "items": tasks}]}

    first = imported(alice, orjson.dumps(document), "json")
    again = imported(alice, orjson.dumps(document), "json")
    found = {each["title"]: each for each in tasks_of(alice).values()}

    assert first["tasks"] == {**NOTHING, "created": 3}
    assert again == {
        "dry_run": False,
        "lists": {**NOTHING, "unchanged": 1},
        "tasks": {**NOTHING, "unchanged": 3},
    }
    [home] = lists_of(alice).values()
    assert found["Buy milk"]["due_on"] == "2026-01-31"
    assert found["Bottles"]["parent_id"] == found["Buy milk"]["id"]
    assert (found["Bottles"]["completed"], found["Bottles"]["description"]) == (True, "all")
    assert {each["list_id"] for each in found.values()} == {home["id"]}
    assert found.keys() == {"Buy milk", "Bottles", "Untitled"}


def test_a_document_that_is_no_file_of_google_tasks_is_refused(alice: User) -> None:
    for document in (b"null", b"[]", b'{"kind": "tasks#taskLists", "items": [null]}'):
        assert_problem(sent(alice, document, "json"), 422, "invalid-request")
    assert_problem(sent(alice, b"{", "json"), 400, "malformed-request")


def test_faults_of_google_tasks_have_their_pointers(alice: User) -> None:
    tasks = [{"id": "a", "title": "x" * 256}, {"id": "b", "title": "x", "due": "soon"}]
    document = {"kind": "tasks#taskLists", "items": [{"id": "l", "items": tasks}]}

    response = sent(alice, orjson.dumps(document), "json")

    assert {*faults_of(response)} == {
        (None, "/items/0/items/0/title"),
        (None, "/items/0/items/1/due"),
    }


def test_a_project_of_todoist_is_imported(alice: User) -> None:
    rows = [
        "TYPE,CONTENT,DESCRIPTION,PRIORITY,INDENT,AUTHOR,RESPONSIBLE,DATE,DATE_LANG,TIMEZONE",
        "meta,view_style=list,,,,,,,,",
        "task,Buy milk @errands @shop,Two litres,1,1,Alice (1),,2026-01-31,en,Europe/Berlin",
        "note,The blue one,,,,,,,,",
        "task,Bottles,,4,2,,,every monday,en,Europe/Berlin",
        ",,,,,,,,,",
        "section,Later,,,,,,,,",
        "task,Call,,2,1,,,2026-01-31 17:00,en,Europe/Berlin",
    ]

    first = imported(alice, "\ufeff" + "\n".join(rows), "csv")
    again = imported(alice, "\n".join(rows), "csv")
    found = {each["title"]: each for each in tasks_of(alice).values()}

    assert first["tasks"] == {**NOTHING, "created": 3}
    assert again["tasks"] == {**NOTHING, "unchanged": 3}
    milk, bottles, call = found["Buy milk"], found["Bottles"], found["Call"]
    assert (milk["tags"], milk["priority"], milk["due_on"]) == (
        ["errands", "shop"],
        "urgent",
        "2026-01-31",
    )
    assert milk["description"] == "Two litres\n\nThe blue one"
    assert (bottles["parent_id"], bottles["description"]) == (milk["id"], "Todoist: every monday")
    assert call["due_at"] == "2026-01-31T16:00:00.000000Z"
    assert [each["title"] for each in lists_of(alice).values()] == ["Later"]
    assert (call["list_id"] in lists_of(alice), milk["list_id"]) == (True, None)


def test_todos_of_other_programs_are_imported(alice: User) -> None:
    calendar = "\r\n".join(
        [
            "BEGIN:VCALENDAR",
            "VERSION:2.0",
            "BEGIN:VEVENT",
            "UID:event",
            "END:VEVENT",
            "BEGIN:VTODO",
            "UID:parent",
            "SUMMARY:Ünï\\, folded",
            "  line",
            "DUE;TZID=Europe/Berlin:20260131T170000",
            "DTSTART;TZID=Europe/Berlin:20260130T170000",
            "RRULE:FREQ=WEEKLY;BYDAY=SA",
            "CATEGORIES:a,b",
            "CATEGORIES:A",
            "PRIORITY:1",
            "END:VTODO",
            "BEGIN:VTODO",
            "UID:child",
            "SUMMARY:child",
            "RELATED-TO:parent",
            "STATUS:COMPLETED",
            "COMPLETED:20200101T000000Z",
            "END:VTODO",
            "END:VCALENDAR",
        ]
    )

    first = imported(alice, calendar, "ics")
    again = imported(alice, calendar, "ics")
    found = {each["title"]: each for each in tasks_of(alice).values()}

    assert first["tasks"] == {**NOTHING, "created": 2}
    assert again["tasks"] == {**NOTHING, "unchanged": 2}
    parent, child = found["Ünï, folded line"], found["child"]
    assert (parent["due_at"], parent["time_zone"]) == (
        "2026-01-31T16:00:00.000000Z",
        "Europe/Berlin",
    )
    assert (parent["recurrence"], parent["start_on"]) == ("FREQ=WEEKLY;BYDAY=SA", "2026-01-30")
    assert (parent["tags"], parent["priority"]) == (["a", "b"], "urgent")
    assert (child["parent_id"], child["completed_at"]) == (
        parent["id"],
        "2020-01-01T00:00:00.000000Z",
    )


def test_a_calendar_with_faults_is_refused(alice: User) -> None:
    begin, end = "BEGIN:VCALENDAR\n", "END:VCALENDAR\n"
    rule = "SUMMARY:x\nDUE;VALUE=DATE:20260101\nDTSTART;VALUE=DATE:20260101\nRRULE:FREQ=HOURLY\n"

    def todo(content: str) -> str:
        return f"{begin}BEGIN:VTODO\n{content}END:VTODO\n{end}"

    assert faults_of(sent(alice, "BEGIN:VTODO\n", "ics")) == [(1, "")]
    assert faults_of(sent(alice, begin, "ics")) == [(1, "")]
    assert faults_of(sent(alice, todo("SUMMARY:x\n"), "ics")) == [(2, "")]
    assert faults_of(sent(alice, todo("UID:a\nSUMMARY:\n"), "ics")) == [(2, "/title")]
    assert faults_of(sent(alice, todo(f"UID:a\n{rule}"), "ics")) == [(2, "/recurrence")]
    assert tasks_of(alice) == {}


@pytest.mark.long
def test_an_import_of_100_000_tasks_takes_little_memory(own_database: str) -> None:
    process = started(DATABASE_URL=own_database)
    memory = psutil.Process(process.pid).memory_info
    with User(url_of(process)) as user, administration(own_database) as execute:
        user.creates()
        execute(MANY_TASKS.format(user.id))
        content = exported(user)
        user.delete(f"/api/{user.id}")
        before = memory().rss
        user.timeout = httpx.Timeout(300)
        highest = 0
        with ThreadPoolExecutor(1) as threads:
            importing = threads.submit(imported, user, content, "jsonl")
            while not importing.done():
                highest = max(highest, memory().rss)
                time.sleep(0.05)
        assert importing.result()["tasks"] == {**NOTHING, "created": 100_001}
    process.terminate()
    process.communicate(timeout=20)

    assert len(content) > 50 * 2**20
    assert highest - before < 40 * 2**20
