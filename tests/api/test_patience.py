"""Incomplete requests: they time out, and delay no other."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.responses import assert_problem
from tests.support.servers import Serve, serving
from tests.support.users import User
from tests.support.wire import Wire, request, wire_to

PATH = "/api/0190a1b2-0000-7000-8000-00000000a11c/tasks"
WHOLE = request("POST", PATH, body=b'{"title": "x"}')


@pytest.fixture(scope="module")
def impatient(database_url: str) -> Iterator[str]:
    with serving(DATABASE_URL=database_url, ERRAND_REQUEST_TIMEOUT="0.5") as url:
        yield url


@pytest.fixture
def wire(impatient: str) -> Iterator[Wire]:
    with wire_to(impatient) as wire:
        yield wire


@pytest.mark.parametrize("sent", [10, WHOLE.index(b"\r\n\r\n"), len(WHOLE) - 1])
def test_incomplete_request_times_out(wire: Wire, sent: int) -> None:
    wire.sends(WHOLE[:sent])

    assert_problem(wire.answer(), 408, "request-timeout")
    assert wire.is_closed()


def test_incomplete_request_behind_a_complete_one_times_out(wire: Wire) -> None:
    wire.sends(WHOLE, WHOLE[:10])

    assert wire.answer().status_code == 201
    assert_problem(wire.answer(), 408, "request-timeout")
    assert wire.is_closed()


def test_silent_connection_is_closed(wire: Wire) -> None:
    assert wire.is_closed()


def test_rest_of_a_refused_body_is_not_awaited(wire: Wire) -> None:
    wire.sends(request("POST", "/nowhere", "Content-Length: 100"), b"half")

    assert_problem(wire.answer(), 404, "unknown-path")
    assert wire.is_closed()


def test_request_in_parts_is_served_if_complete_in_time(wire: Wire) -> None:
    for part in (WHOLE[:10], WHOLE[10:60], WHOLE[60:]):
        wire.sends(part)

    assert wire.answer().status_code == 201


def test_hundred_incomplete_requests_delay_no_other(impatient: str) -> None:
    with ExitStack() as stack, User(impatient) as alice:
        for _ in range(100):
            stack.enter_context(wire_to(impatient)).sends(WHOLE[:20])

        assert alice.creates().document


def test_idle_connection_is_closed(serve: Serve) -> None:
    with wire_to(serve(ERRAND_IDLE_TIMEOUT="0.2")) as wire:
        wire.sends(WHOLE)

        assert wire.answer().status_code == 201
        assert wire.is_closed()


def test_line_break_behind_a_request_keeps_no_connection_open(serve: Serve) -> None:
    with wire_to(serve(ERRAND_IDLE_TIMEOUT="0.2")) as wire:
        wire.sends(WHOLE + b"\r\n")

        assert wire.answer().status_code == 201
        assert wire.is_closed()


def test_connection_in_use_is_kept_open(serve: Serve) -> None:
    with wire_to(serve(ERRAND_IDLE_TIMEOUT="1.5")) as wire:
        for _ in range(4):
            time.sleep(0.5)
            wire.sends(WHOLE)

            assert wire.answer().status_code == 201


def test_connection_with_a_pending_response_is_not_idle(serve: Serve) -> None:
    url = serve(ERRAND_IDLE_TIMEOUT="0.2")
    with User(url) as alice, wire_to(url) as wire:
        feed = f"/api/{alice.id}/changes"
        since = alice.get(feed).json()["next"]
        wire.sends(WHOLE)
        assert wire.answer().status_code == 201
        wire.sends(request("GET", f"{feed}?since={since}&wait=1"))

        assert wire.answer().status_code == 200


def test_connection_of_an_early_refusal_is_closed(serve: Serve) -> None:
    with wire_to(serve(ERRAND_IDLE_TIMEOUT="0.2")) as wire:
        wire.sends(request("POST", "/nowhere", "Content-Length: 10"), b"half")
        assert wire.answer().status_code == 404
        time.sleep(0.5)

        wire.sends(b"it all")

        assert wire.is_closed()
