"""What the server tells of the requests it has served."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openapi.server.request_log import MOST_WAITING, RequestLog
from tests.support import http
from tests.support.polling import eventually
from tests.support.servers import Server, started, url_of
from tests.support.users import User
from tests.support.wire import request, wire_to

FIELDS = ["time", "method", "path", "operation", "status", "bytes", "ms", "client"]
MORE_THAN_A_PIPE_HOLDS = 1_000


@pytest.fixture
def talking(database_url: str) -> Iterator[Server]:
    process = started(DATABASE_URL=database_url)
    yield process
    process.terminate()
    process.communicate(timeout=20)


def told_by(process: Server) -> list[dict[str, Any]]:
    """Stop the server, and read what it has said of requests."""
    process.terminate()
    said, _ = process.communicate(timeout=20)
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_each_request_is_a_line_of_json(talking: Server) -> None:
    with User(url_of(talking)) as alice:
        created = alice.post(alice.tasks, json={"title": "Buy milk"})
        missing = alice.get("/nowhere?secret=1")

    first, second = told_by(talking)

    assert list(first) == FIELDS
    assert abs(datetime.fromisoformat(first["time"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert first["ms"] > 0
    assert [first[name] for name in FIELDS[1:6]] == [
        *("POST", alice.tasks, "create_task", 201, len(created.content))
    ]
    assert first["client"] == "127.0.0.1"
    assert [second[name] for name in FIELDS[1:6]] == [
        *("GET", "/nowhere", None, 404, len(missing.content))
    ]


def test_what_is_no_request_is_a_line_too(talking: Server) -> None:
    with wire_to(url_of(talking)) as wire:
        wire.sends(b"nonsense\r\n\r\n")
        assert wire.answer().status_code == 400

    [told] = told_by(talking)

    assert (told["status"], told["client"]) == (400, "127.0.0.1")


def test_a_path_can_forge_no_line(talking: Server) -> None:
    with wire_to(url_of(talking)) as wire:
        wire.sends(request("GET", '/","status":200,"'))
        assert wire.answer().status_code == 404

    [told] = told_by(talking)

    assert (told["path"], told["status"]) == ('/","status":200,"', 404)


def test_a_request_that_does_not_come_whole_is_one_line(database_url: str) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_REQUEST_TIMEOUT="0.2")
    url = url_of(process)
    with User(url) as alice, wire_to(url) as wire:
        wire.sends(request("POST", alice.tasks, body=b'{"title": "x"}')[:-1])
        answer = wire.answer()

    [told] = told_by(process)

    assert answer.status_code == 408
    assert (told["operation"], told["status"]) == ("create_task", 408)


def test_who_does_not_read_the_log_holds_no_request_up(talking: Server) -> None:
    with User(url_of(talking)) as alice:
        for _ in range(MORE_THAN_A_PIPE_HOLDS):
            assert alice.get("/health/live").status_code == 200

        talking.terminate()
        assert talking.wait(timeout=20) == 0


def test_a_log_that_is_closed_stops_no_request(database_url: str, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    process = started(DATABASE_URL=database_url, log=errors)
    alive = url_of(process) + "/health/live"
    http.get(alive)
    assert process.stdout
    process.stdout.close()

    statuses = {http.get(alive).status_code for _ in range(3)}

    assert eventually(lambda: "no longer logged" in errors.read_text())
    process.terminate()
    assert statuses == {200}
    assert process.wait(timeout=20) == 0
    assert len(errors.read_text().splitlines()) == 1


def test_what_nobody_reads_is_left_out_and_its_number_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = RequestLog(wanted=True)
    for _ in range(MOST_WAITING + 7):
        log.add(method="GET", path=b"/", status=200, size=0, client=None)

    log._write()

    lines = capfd.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (MOST_WAITING + 1, '{"left_out":7}')


def test_nothing_is_told_if_it_is_off(database_url: str) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_REQUEST_LOG="off")
    http.get(url_of(process) + "/health/live")

    assert told_by(process) == []
