"""Traces, as a collector of OpenTelemetry receives them."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.collector import Collected, Collector, running_collector
from tests.support.polling import eventually
from tests.support.servers import serving
from tests.support.users import User

PARENT = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def alice(collector: Collector, database_url: str) -> Iterator[User]:
    """A user of a server whose requests are traced."""
    with serving(DATABASE_URL=database_url, **collector.settings) as server, User(server) as user:
        yield user


class Trace:
    """The trace that a client begins with a request."""

    def __init__(self, collector: Collector, user: User) -> None:
        self.id = uuid4().hex
        self._collector = collector
        self._user = user

    def send(self, method: str, path: str, *, sampled: int = 1, **options: Any) -> httpx.Response:
        """A request of the trace."""
        header = {"traceparent": f"00-{self.id}-{PARENT}-{sampled:02}"}
        headers = {**header, **options.pop("headers", {})}
        return self._user.request(method, path, headers=headers, **options)

    @property
    def spans(self) -> list[Collected]:
        """The spans that the collector has of it, by their begin."""
        found = [each for each in self._collector.spans if each.trace_id == self.id]
        return sorted(found, key=lambda each: each.start)

    def whole(self) -> list[Collected]:
        """The span of the request, which is sent last, and those within it."""
        assert eventually(lambda: any(each.parent == PARENT for each in self.spans))
        request, *others = self.spans
        assert request.parent == PARENT
        assert {each.parent for each in others} <= {request.id}
        return [request, *others]


@pytest.fixture
def trace(collector: Collector, alice: User) -> Trace:
    return Trace(collector, alice)


def test_request_has_a_span_with_its_queue_and_its_statement(alice: User, trace: Trace) -> None:
    path = alice.creates("Buy milk").url
    response = trace.send("GET", path)

    request, queue, statement = trace.whole()
    assert request.name == "GET /api/{user_id}/tasks/{task_id}"
    assert request.attributes["http.response.status_code"] == "200"
    assert request.attributes["errand.operation"] == "get_task"
    assert request.attributes["url.path"] == response.request.url.path
    assert (queue.name, statement.name) == ("queue", "get_task")
    assert statement.attributes["db.operation.batch.size"] == "1"
    assert request.start <= queue.start <= queue.end <= statement.start
    assert statement.end <= request.end


def test_client_decides_whether_its_request_is_traced(trace: Trace) -> None:
    trace.send("GET", "/api/me", sampled=0)
    trace.send("GET", "/health/ready")

    [request, *_] = trace.whole()
    assert request.attributes["errand.operation"] == "get_readiness"


def test_transaction_has_a_span_for_each_round_trip(alice: User, trace: Trace) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    trace.send("POST", alice.tasks, json={"title": "Buy milk"}, headers=key)

    names = [each.name for each in trace.whole()[1:]]
    assert len(names) >= 2
    assert names[-1].endswith("commit")


def test_concurrent_requests_have_the_spans_of_their_own_calls(
    alice: User, collector: Collector
) -> None:
    traces = [Trace(collector, alice) for _ in range(20)]
    body = {"title": "Buy milk"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda trace: trace.send("POST", alice.tasks, json=body), traces))

    for trace in traces:
        assert [each.name for each in trace.whole()[1:]] == ["queue", "create_brief_task"]


def test_request_that_fails_says_why(alice: User, trace: Trace) -> None:
    trace.send("POST", alice.tasks, json={})

    [request] = trace.whole()
    assert request.attributes["error.type"] == "invalid-request"
    assert request.attributes["http.response.status_code"] == "422"


@pytest.mark.long
def test_library_of_traces_that_is_missing_is_one_sentence(
    tmp_path: Path,
) -> None:
    (tmp_path / "opentelemetry.py").write_text("")
    path = f"{tmp_path}:{':'.join(sys.path)}"
    command = [sys.executable, "-m", "openapi", "serve", "--ephemeral"]
    environment = {"PYTHONPATH": path, "ERRAND_TRACING": "on"}

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ERRAND_TRACING needs packages that are not installed")
    assert len(ended.stderr.splitlines()) == 1
