"""The log of requests."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from openapi.http.problems import MALFORMED
from openapi.http.request import Refusal
from openapi.http.response import Response
from openapi.server.request_log import MOST_WAITING, RequestLog
from tests.support import http
from tests.support.issuer import Issuer
from tests.support.polling import eventually
from tests.support.servers import LISTENING, Server, started, trusting, url_of
from tests.support.users import User
from tests.support.wire import request, wire_to

FIELDS = [
    *("time", "request_id", "method", "path", "operation", "status", "bytes", "ms", "client"),
    *("caller", "key_id"),
]
MORE_THAN_A_PIPE_HOLDS = 1_000


@pytest.fixture
def talking(database_url: str) -> Iterator[Server]:
    process = started(DATABASE_URL=database_url)
    yield process
    process.terminate()
    process.communicate(timeout=20)


def logged_by(process: Server) -> list[dict[str, Any]]:
    """Stop the server, and read its lines about requests."""
    process.terminate()
    output, _ = process.communicate(timeout=20)
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_each_request_is_logged_as_one_line_of_json(talking: Server) -> None:
    with User(url_of(talking)) as alice:
        created = alice.post(alice.tasks, json={"title": "Buy milk"})
        missing = alice.get("/nowhere?secret=1")

    first, second = logged_by(talking)

    assert list(first) == FIELDS
    assert abs(datetime.fromisoformat(first["time"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert first["ms"] > 0
    assert [first[name] for name in FIELDS[2:7]] == [
        *("POST", alice.tasks, "create_task", 201, len(created.content))
    ]
    assert first["client"] == "127.0.0.1"
    assert [second[name] for name in FIELDS[2:7]] == [
        *("GET", "/nowhere", None, 404, len(missing.content))
    ]


def test_secret_of_a_calendar_is_not_logged(talking: Server) -> None:
    with User(url_of(talking)) as alice:
        path = alice.creates_calendar()
        encoded = f"{path[:-10]}%{ord(path[-10]):x}{path[-9:]}"
        statuses = [
            alice.get(path).status_code,
            alice.get(encoded).status_code,
            alice.put(path).status_code,
            alice.get(f"{path}/").status_code,
        ]

    _, shown, *others = logged_by(talking)

    assert statuses == [200, 200, 405, 404]
    assert (shown["path"], shown["operation"]) == ("/calendar/*.ics", "show_calendar")
    assert [each["path"] for each in others] == [*["/calendar/*.ics"] * 2, "/calendar/*.ics/"]


def test_malformed_request_is_logged(talking: Server) -> None:
    with wire_to(url_of(talking)) as wire:
        wire.sends(b"nonsense\r\n\r\n")
        assert wire.answer().status_code == 400

    [logged] = logged_by(talking)

    assert (logged["status"], logged["client"]) == (400, "127.0.0.1")


@pytest.mark.long
def test_each_worker_logs_its_requests_and_its_refusals(database_url: str) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_WORKERS="2")
    with User(url_of(process)) as alice:
        for _ in range(5):
            assert alice.get("/health/live").status_code == 200
            with wire_to(str(alice.base_url)) as wire:
                wire.sends(b"nonsense\r\n\r\n")
                assert wire.answer().status_code == 400

    assert sorted(line["status"] for line in logged_by(process)) == [200] * 5 + [400] * 5


def test_path_cannot_forge_a_log_line(talking: Server) -> None:
    with wire_to(url_of(talking)) as wire:
        wire.sends(request("GET", '/","status":200,"'))
        assert wire.answer().status_code == 404

    [logged] = logged_by(talking)

    assert (logged["path"], logged["status"]) == ('/","status":200,"', 404)


def test_incomplete_request_is_logged_once(database_url: str) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_REQUEST_TIMEOUT="0.2")
    url = url_of(process)
    with User(url) as alice, wire_to(url) as wire:
        wire.sends(request("POST", alice.tasks, body=b'{"title": "x"}')[:-1])
        answer = wire.answer()

    [logged] = logged_by(process)

    assert answer.status_code == 408
    assert answer.json()["request_id"] == logged["request_id"]
    assert (logged["operation"], logged["status"]) == ("create_task", 408)


def test_log_line_has_the_request_id_of_its_problem_document(talking: Server) -> None:
    url = url_of(talking)
    with User(url) as alice, wire_to(url) as wire:
        problems = [alice.get("/nowhere"), alice.get(f"{alice.tasks}/{uuid4()}")]
        problems.append(alice.post(alice.tasks, json={}))
        missing = f"{alice.tasks}/{uuid4()}"
        problems.append(alice.put(missing, json={"title": "x"}, headers={"Idempotency-Key": "1"}))
        operations = [{"op": "delete", "id": str(uuid4())}]
        batch = {"operations": operations, "atomic": False}
        problems.append(alice.post(f"{alice.tasks}/batch", json=batch))
        wire.sends(b"nonsense\r\n\r\n")
        problems.append(wire.answer())
        alice.get(alice.tasks)

    lines = logged_by(talking)

    ids = [line["request_id"] for line in lines]
    assert ids[:6] == [request_id_in(problem.json()) for problem in problems]
    assert len(set(ids)) == 7
    assert {UUID(each).version for each in ids} == {4}


def request_id_in(document: dict[str, Any]) -> str:
    """The id of a problem document, be it that of an operation of a batch."""
    if "results" in document:
        document = document["results"][0]["problem"]
    return str(document["request_id"])


def test_denied_request_is_logged_with_its_caller_and_key(
    database_url: str, issuer: Issuer
) -> None:
    process = started(log=None, **trusting(issuer, DATABASE_URL=database_url))
    with User(url_of(process), issuer) as alice:
        alice.get(alice.tasks)
        alice.get(f"{alice.tasks}/{uuid4()}")
        denied = alice.get(f"/api/{uuid4()}/tasks")
        expired = {"Authorization": f"Bearer {issuer.token(alice.id, exp=0)}"}
        alice.get(alice.tasks, headers=expired)
        alice.get(alice.tasks, headers={"Authorization": "Bearer x"})

    lines = logged_by(process)

    key = issuer.key.kid
    assert [(line["status"], line["caller"], line["key_id"]) for line in lines] == [
        (200, alice.id, key),
        (404, alice.id, key),
        (403, alice.id, key),
        (401, None, key),
        (401, None, None),
    ]
    assert lines[2]["request_id"] == denied.json()["request_id"]


@pytest.mark.parametrize(("proxies", "believed"), [("127.0.0.1", True), ("10.0.0.0/8", False)])
def test_trusted_proxy_sets_the_client_and_the_request_id(
    database_url: str, proxies: str, believed: bool
) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_OPEN="on", ERRAND_TRUSTED_PROXIES=proxies)
    forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.1", "X-Request-Id": "edge/4f2a:1"}
    with User(url_of(process)) as alice:
        problem = alice.get("/nowhere", headers=forwarded).json()
        alice.get("/nowhere", headers={"X-Request-Id": 'forged","status":200'})

    named, unnamed = logged_by(process)

    assert problem["request_id"] == named["request_id"]
    assert (named["request_id"] == "edge/4f2a:1") is believed
    assert named["client"] == ("203.0.113.1" if believed else "127.0.0.1")
    assert UUID(unnamed["request_id"])
    assert unnamed["client"] == "127.0.0.1"


def test_log_on_a_terminal_is_short_and_coloured(database_url: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "openapi", "serve", "--port", "0"],
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=theirs,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        printed = read_until(terminal, b"/docs").decode()
        url = printed.split(LISTENING, 1)[1].split()[0]
        with User(url) as alice, wire_to(url) as wire:
            alice.get("/health/live")
            wire.sends(b"GET /no\x9bwhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert wire.answer().status_code in {400, 404}
            alice.get("/health/ready")
        text = read_until(terminal, b"/health/ready")
        process.terminate()
        process.wait(20)

    assert re.search(rb"\d\d:\d\d:\d\d \x1b\[32m200\x1b\[0m GET /health/live \x1b", text)
    assert b'"status"' not in text
    assert b"\x9b" not in text


def read_until(terminal: Any, end: bytes) -> bytes:
    text = b""
    while end not in text:
        assert select.select([terminal], [], [], 20)[0], text
        text += terminal.read(1024)
    return text


def test_unread_log_delays_no_request(talking: Server) -> None:
    with User(url_of(talking)) as alice:
        for _ in range(MORE_THAN_A_PIPE_HOLDS):
            assert alice.get("/health/live").status_code == 200

        talking.terminate()
        assert talking.wait(timeout=20) == 0


def test_closed_log_stops_no_request(database_url: str, tmp_path: Path) -> None:
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


def test_dropped_log_lines_are_counted_in_the_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = RequestLog(wanted=True)
    for _ in range(MOST_WAITING + 7):
        log.add_refusal(Refusal(MALFORMED, Response(400, [], b""), "x"), "127.0.0.1")

    log._write()

    lines = capfd.readouterr().out.splitlines()
    assert (len(lines), lines[-1]) == (MOST_WAITING + 1, '{"left_out":7}')


def test_nothing_is_logged_if_the_request_log_is_off(database_url: str) -> None:
    process = started(DATABASE_URL=database_url, ERRAND_REQUEST_LOG="off")
    http.get(url_of(process) + "/health/live")

    assert logged_by(process) == []
