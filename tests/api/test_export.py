"""An export: all that a user has, in three formats."""

import csv
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import StringIO
from itertools import cycle
from typing import Any

import httpx
import icalendar
import orjson
import psutil
import pytest

from handlers.csv_cells import OF_FORMULAS
from tests.support.databases import MANY_TASKS, administration
from tests.support.feed import Copy, digest_of, lists_of, tasks_of
from tests.support.operations import SCHEMAS
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import Serve, started, url_of
from tests.support.users import User


def export(user: User, **query: str) -> httpx.Response:
    response = user.get(f"/api/{user.id}/export", params=query)
    assert response.status_code == 200, response.text
    assert int(response.headers["content-length"]) == len(response.content)
    return response


def lines_of(user: User) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in export(user).iter_lines()]


def test_json_lines_have_everything_and_the_digest(alice: User) -> None:
    kept, gone = alice.creates_list("Kept"), alice.creates_list("Gone")
    task = alice.creates("a", list_id=kept.document["id"], tags=["x"])
    taken = alice.creates("b", list_id=gone.document["id"])
    alice.delete(gone.url)
    alice.delete(alice.creates("c").url)

    first, *middle, last = lines_of(alice)

    assert (first["kind"], first["format"], first["user_id"]) == ("export", 1, alice.id)
    kinds = [line["kind"] for line in middle]
    assert kinds.count("list") == kinds.count("deleted_list") == kinds.count("task") == 1
    assert kinds.count("deleted_task") == 2
    [exported] = [line["task"] for line in middle if line["kind"] == "task"]
    assert exported == task.document
    deleted = {line["task"]["title"]: line for line in middle if line["kind"] == "deleted_task"}
    [deleted_list] = [line["list"] for line in middle if line["kind"] == "deleted_list"]
    assert deleted["b"]["task"]["id"] == taken.document["id"]
    assert deleted["b"]["deletion"] == deleted_list["revision"]
    assert deleted["c"]["deletion"] is None
    copy = Copy(alice)
    copy.catches_up()
    assert last == {"kind": "end", "lists": 2, "tasks": 3, "digest": copy.digest}


def test_a_user_without_data_has_an_empty_export(alice: User) -> None:
    first, last = lines_of(alice)

    assert first["kind"] == "export"
    assert last == {"kind": "end", "lists": 0, "tasks": 0, "digest": 0}
    assert len(export(alice, format="csv").text.splitlines()) == 1
    icalendar.Calendar.from_ical(export(alice, format="ics").content)


def test_more_tasks_than_one_read_has_are_all_exported_once(alice: User) -> None:
    fill(alice, 500)

    ids = [line["task"]["id"] for line in lines_of(alice)[1:-1]]

    assert (len(ids), set(ids)) == (500, {*tasks_of(alice)})


@pytest.mark.parametrize("begin", [*OF_FORMULAS, "'"])
def test_no_cell_of_csv_is_a_formula(alice: User, begin: str) -> None:
    text = f"{begin}cmd|' /C calc'!A0"
    alice.creates_list(text)
    [list_id] = lists_of(alice)
    alice.creates(text, description=text, tags=[text[:50]], list_id=list_id)

    [row] = csv.DictReader(StringIO(export(alice, format="csv").text, newline=""))

    formulas = {name: cell for name, cell in row.items() if cell.startswith(OF_FORMULAS)}
    assert formulas == {}
    assert row["title"] == row["description"] == row["list"] == "'" + text


def test_csv_has_a_column_for_each_field_and_distinguishes_null_from_empty(alice: User) -> None:
    task = alice.creates('a;"b"\n', description="", tags=["x", "y,z"]).document

    response = export(alice, format="csv")
    [row] = csv.DictReader(StringIO(response.text, newline=""))

    assert response.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert list(row) == [*SCHEMAS["Task"]["properties"], "list"]
    assert (row["title"], row["description"], row["due_on"]) == ('a;"b"\n', "'", "")
    assert (row["tags"], row["completed"]) == ('x,"y,z"', "false")
    assert row["revision"] == str(task["revision"])


def test_icalendar_has_every_task_that_is_not_in_the_trash(alice: User) -> None:
    alice.creates("undated", start_on="2026-01-01")
    alice.creates("day", due_on="2026-02-01", completed=True)
    zone = {"due_at": "2026-03-01T08:00:00Z", "time_zone": "Europe/Berlin"}
    alice.creates("weekly", recurrence="FREQ=WEEKLY", **zone)
    alice.delete(alice.creates("gone").url)

    calendar = icalendar.Calendar.from_ical(export(alice, format="ics").content)

    todos: dict[str, Any] = {str(each["summary"]): each for each in calendar.walk("VTODO")}
    assert {"undated", "day", "weekly"} <= todos.keys()
    assert "gone" not in todos
    assert todos["weekly"]["rrule"] == {"FREQ": ["WEEKLY"]}
    assert todos["weekly"]["dtstart"].dt.isoformat() == "2026-03-01T09:00:00+01:00"
    assert [str(each["tzid"]) for each in calendar.walk("VTIMEZONE")] == ["Europe/Berlin"]
    assert not calendar.errors


@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("*/*", {}, "application/jsonl"),
        ("text/csv", {}, "text/csv"),
        ("text/calendar, text/csv;q=0.5", {}, "text/calendar"),
        ("text/csv", {"format": "ics"}, "text/calendar"),
    ],
)
def test_format_wins_over_accept(
    alice: User, accept: str, query: dict[str, str], media_type: str
) -> None:
    url = f"/api/{alice.id}/export"

    response = alice.get(url, params=query, headers={"Accept": accept})
    head = alice.head(url, params=query, headers={"Accept": accept})

    assert response.headers["content-type"].startswith(media_type)
    assert response.headers["content-disposition"].startswith('attachment; filename="tasks.')
    assert head.headers["content-length"] == str(len(response.content))
    assert head.content == b""


def test_a_format_that_is_unknown_is_refused(alice: User) -> None:
    response = alice.get(f"/api/{alice.id}/export", params={"format": "xlsx"})

    assert_problem(response, 422, "invalid-request")


def fill(user: User, count: int, **fields: Any) -> None:
    """Create so many tasks, a multiple of a hundred."""
    batch = {"operations": [{"op": "create", "title": "x", **fields}] * 100}
    for _ in range(count // 100):
        assert user.post(f"{user.tasks}/batch", json=batch).status_code == 200


def test_an_export_is_of_one_moment_while_others_write(alice: User) -> None:
    fill(alice, 500)
    urls = [f"{alice.tasks}/{task_id}/complete" for task_id in tasks_of(alice)]
    stopped = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=alice.base_url, verify=False) as client:
            for url in cycle(urls):
                client.patch(url)
                if stopped.is_set():
                    return

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        exports = [lines_of(alice) for _ in range(5)]
        stopped.set()
        writing.result(20)

    for _, *middle, last in exports:
        assert last["digest"] == digest_of([line["task"] for line in middle])
    assert len({lines[-1]["digest"] for lines in exports}) > 1


def test_a_client_that_does_not_read_holds_no_connection_of_the_database(serve: Serve) -> None:
    # With a large buffer, the system would take the whole response.
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    slow = httpx.HTTPTransport(verify=False, socket_options=small)
    with User(serve(ERRAND_POOL_SIZE="1")) as user, ExitStack() as stack:
        fill(user, 1000, description="\x01" * 1500)  # each is six bytes in JSON
        client = stack.enter_context(httpx.Client(base_url=user.base_url, transport=slow))
        url = f"/api/{user.id}/export"
        opened = [stack.enter_context(client.stream("GET", url)) for _ in range(2)]

        assert user.get(user.tasks).status_code == 200
        assert_problem(user.get(url), 503, "overloaded")
        for each in opened:
            each.close()

        assert eventually(lambda: user.get(url).status_code == 200)


@pytest.mark.long
@pytest.mark.parametrize("format_", ["jsonl", "csv", "ics"])
def test_an_export_of_100_000_tasks_takes_constant_memory(own_database: str, format_: str) -> None:
    process = started(DATABASE_URL=own_database)
    memory = psutil.Process(process.pid).memory_info
    with User(url_of(process)) as user, administration(own_database) as execute:
        fill(user, 1000)
        export(user, format=format_)
        before = memory().rss
        execute(MANY_TASKS.format(user.id))
        highest = 0
        path, options = f"/api/{user.id}/export", {"format": format_}
        with user.stream("GET", path, params=options, timeout=60) as response:
            for _ in response.iter_bytes(2**20):
                highest = max(highest, memory().rss)
    process.terminate()
    process.communicate(timeout=20)

    assert int(response.headers["content-length"]) > 20 * 2**20
    assert highest - before < 10 * 2**20
