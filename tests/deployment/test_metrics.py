"""What Prometheus reads."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import psutil
import pytest

from openapi.server.metrics.families import Families
from tests.support import http
from tests.support.databases import administration, away
from tests.support.events import streaming
from tests.support.metrics import METERED, Metrics
from tests.support.polling import eventually
from tests.support.project import OPERATIONS
from tests.support.servers import errand, started
from tests.support.users import User
from tests.support.wire import wire_to

Start = Callable[..., Metrics]


@pytest.fixture
def start(own_database: str) -> Iterator[Start]:
    """Start a server that serves metrics; it stops with the test."""
    with ExitStack() as stack:

        def begin(**settings: str) -> Metrics:
            process = started(log=None, **{"DATABASE_URL": own_database, **METERED, **settings})
            stack.callback(process.communicate, timeout=30)
            stack.callback(process.terminate)
            return Metrics(process)

        yield begin


def test_requests_and_problems_are_counted(start: Start) -> None:
    metrics = start()
    with User(metrics.server_url) as alice:
        for _ in range(3):
            alice.creates("Buy milk")
        alice.post(alice.tasks, json={})
        alice.get("/nowhere")
    with wire_to(metrics.server_url) as wire:
        wire.sends(b"no request\r\n\r\n")
        assert wire.answer().status_code == 400

    def value(name: str, **labels: str) -> float:
        return metrics.value(f"errand_{name}", **labels)

    assert value("requests_total", operation="create_task", status="201") == 3
    assert value("requests_total", operation="create_task", status="422") == 1
    assert value("requests_total", operation="none", status="404") == 1
    assert value("requests_total", operation="none", status="400") == 1
    assert value("request_duration_seconds_count", operation="create_task") == 4
    assert value("request_duration_seconds_bucket", operation="create_task", le="+Inf") == 4
    assert value("request_duration_seconds_sum", operation="create_task") > 0
    for kind in ("invalid-request", "unknown-path", "malformed-request"):
        assert value("problems_total", type=kind) == 1
    assert eventually(lambda: value("group_calls_sum", access="write") >= 3)
    assert eventually(lambda: value("database_connections", state="idle") == 2)
    assert value("database_connects_total") == 2
    assert value("workers") == 1
    assert value("resident_memory_bytes") > 2**20


def test_what_waits_and_what_is_replayed_is_counted(start: Start) -> None:
    metrics = start()
    with User(metrics.server_url) as alice, ExitStack() as stack:
        key = {"Idempotency-Key": "one"}
        for _ in range(2):
            alice.post(alice.tasks, json={"title": "Buy milk"}, headers=key)
        stack.enter_context(streaming(alice))
        assert eventually(lambda: metrics.value("errand_streams") == 1)
        assert eventually(lambda: metrics.value("errand_replayed_responses_total") == 1)
        assert metrics.value("errand_client_connections") >= 1
    assert eventually(lambda: metrics.value("errand_streams") == 0)
    assert eventually(lambda: metrics.value("errand_client_connections") == 0)


@pytest.mark.long
def test_numbers_of_workers_are_added_up_and_outlive_them(start: Start) -> None:
    metrics = start(ERRAND_WORKERS="2")

    def total() -> float:
        return metrics.value("errand_requests_total", operation="get_liveness", status="200")

    for _ in range(20):
        assert http.get(f"{metrics.server_url}/health/live").status_code == 200
    assert total() == 20
    assert eventually(lambda: metrics.value("errand_workers") == 2)
    assert eventually(lambda: metrics.value("errand_database_connections", state="idle") == 4)

    children = psutil.Process(metrics.process.pid).children()
    [worker, _] = [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    worker.kill()

    assert total() == 20
    assert eventually(lambda: len(psutil.Process(metrics.process.pid).children()) == len(children))


def test_failures_of_the_database_are_counted(
    start: Start, own_database: str, postgres_url: str
) -> None:
    metrics = start(ERRAND_WAIT_TIMEOUT="0.2")
    assert eventually(lambda: metrics.value("errand_database_connections", state="idle") == 2)
    with User(metrics.server_url) as alice:
        assert alice.get(alice.tasks).status_code == 200
        with away(own_database, postgres_url):
            assert alice.get(alice.tasks).status_code == 503

    assert metrics.value("errand_problems_total", type="database-away") == 1
    assert eventually(lambda: metrics.value("errand_database_connections_lost_total") >= 1)


def test_rows_that_wait_for_the_purge_are_counted(start: Start, own_database: str) -> None:
    user, day = uuid4(), 24 * 60 * 60
    with administration(own_database) as execute:
        execute(f"INSERT INTO users (id) VALUES ('{user}')")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
            f" SELECT '{user}', gen_random_uuid(), 'x', n,"
            " now() - nullif(n, 0) * interval '10 days' FROM generate_series(0, 4) AS n"
        )
        execute(
            "INSERT INTO replays (user_id, key, fingerprint, status, headers, body, expires_at)"
            f" VALUES ('{user}', 'key', 'x', 200, '[]', 'body', 'tomorrow')"
        )
        execute("ANALYZE")
    metrics = start(ERRAND_TRASH_DAYS="30")

    assert eventually(lambda: metrics.value("errand_stored_rows", kind="trash") == 4)
    assert metrics.value("errand_stored_rows", kind="replays") == 1
    assert 10 * day <= metrics.value("errand_purge_overdue_seconds") < 11 * day


def test_metrics_have_an_address_of_their_own(server: str) -> None:
    assert http.get(f"{server}/metrics").status_code == 404


def test_port_of_the_metrics_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = errand("serve", "--ephemeral", ERRAND_METRICS_PORT=port, ERRAND_PORT="0")

    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: Errand cannot serve metrics on 127.0.0.1, port {port}: Address already in use. "
        "Choose another ERRAND_METRICS_PORT.\n"
    )


def test_every_metric_is_documented() -> None:
    names = {each.name for each in Families([]).all}
    section = OPERATIONS.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`(errand_\w+)`", section))

    assert {name.removesuffix("_total") for name in documented} == {*names, "errand_info"}
