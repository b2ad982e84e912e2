"""The command `errand`: what it prints, what it starts, and that it stops that again."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from psycopg2.extensions import make_dsn

from db.postgres.schema_version import NEWEST
from openapi.settings import Settings, load_settings, variable
from tests.support import http
from tests.support.databases import administration, database_named
from tests.support.embedded import is_running
from tests.support.folders import copied, temporary_folder
from tests.support.issuer import Issuer
from tests.support.polling import eventually
from tests.support.project import OPERATIONS, ROOT
from tests.support.responses import assert_problem
from tests.support.servers import Server, errand, executed, started, trusting, url_of
from tests.support.users import User

# uvloop asks which thread it is in at the very moment that an exception would break it; it has the
# function from the time when it was imported, so that only the function's code can be another.
SIGNALLED_AS_THE_LOOP_BEGINS = """
import os, signal, sys, threading, uvloop
from openapi.command_line import main

def main_thread():
    main_thread.__code__ = as_it_was
    os.kill(os.getpid(), signal.SIGTERM)
    return main_thread()

class Loop(uvloop.Loop):
    def run_until_complete(self, future):
        threading.main_thread.__code__ = main_thread.__code__
        return super().run_until_complete(future)

vars(threading).update(os=os, signal=signal, as_it_was=threading.main_thread.__code__)
uvloop.new_event_loop = Loop
sys.argv = ["errand", "serve", "--port", "0"]
main()
"""


@pytest.fixture
def new_data_dir() -> Iterator[str]:
    """A folder for an embedded PostgreSQL."""
    with temporary_folder() as folder:
        yield str(folder / "data")


@pytest.fixture
def data_dir(new_data_dir: str, served_once: Path) -> str:
    """The folder of an embedded PostgreSQL that a server has used."""
    return str(copied(served_once, Path(new_data_dir)))


@pytest.fixture
def serve_on() -> Iterator[Callable[..., Server]]:
    """Start servers on a data folder; what is left of them ends with the test."""
    processes: list[Server] = []

    def start(data_dir: str, start: Callable[..., Server] = started) -> Server:
        processes.append(start("--data-dir", data_dir))
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
        process.communicate(timeout=20)


def test_help_names_every_command() -> None:
    shown = errand("--help").stdout

    assert all(command in shown for command in ("serve", "migrate", "purge", "--version"))


def test_version_is_printed() -> None:
    assert errand("--version").stdout == "errand, version 0.1.0\n"


@pytest.mark.parametrize("flag", ["--host", "--port", "--workers", "--log-level", "--data-dir"])
def test_help_explains_every_flag_of_serve(flag: str) -> None:
    assert flag in errand("serve", "--help").stdout


@pytest.mark.parametrize("name", Settings.model_fields)
def test_operations_page_explains_every_setting(name: str) -> None:
    assert f"`{variable(name)}`" in OPERATIONS.read_text()


def test_every_invalid_setting_is_named_in_one_message() -> None:
    ended = errand(
        "serve",
        "--port",
        "99999",
        ERRAND_POOL_SIZE="many",
        ERRAND_BODY_LIMIT="-1",
        DATABASE_URL="postgres+psycopg2://alice:SECRET@/db",
        ERRAND_POOLSIZE="8",
    )

    assert ended.returncode == 1
    for name in (
        "ERRAND_PORT=99999",
        "ERRAND_POOL_SIZE=many",
        "ERRAND_BODY_LIMIT=-1",
        "DATABASE_URL: ",
        "ERRAND_POOLSIZE: there is no such setting",
    ):
        assert name in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "SECRET" not in ended.stderr


def test_flags_override_the_environment_and_that_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ERRAND_PORT=1\nERRAND_POOL_SIZE=1\nERRAND_WORKERS=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERRAND_PORT", "2")
    monkeypatch.setenv("ERRAND_POOL_SIZE", "2")

    settings = load_settings(port="3")

    assert (settings.port, settings.pool_size, settings.workers) == (3, 2, 1)


def test_database_without_the_schema_is_refused_until_it_is_migrated(
    postgres_url: str, serve_on: Callable[..., Server]
) -> None:
    with administration(postgres_url) as execute:
        execute(f"CREATE DATABASE empty_{os.getpid()}")
    url = database_named(f"empty_{os.getpid()}", postgres_url)

    refused = errand("serve", "--database-url", url)
    migrated = errand("migrate", "--database-url", url)

    assert refused.returncode == 1
    [command] = re.findall("Run `(.* migrate)`", refused.stderr)
    assert subprocess.run([*shlex.split(command), "--help"], check=True, capture_output=True)
    assert migrated.stdout == f"The database's schema is {NEWEST}.\n"
    assert errand("migrate", "--database-url", url).returncode == 0


def test_server_starts_without_its_database() -> None:
    away = started("--database-url", "postgresql://127.0.0.1:1/x", ERRAND_WAIT_TIMEOUT="0.2")
    assert away.stdout
    warning = away.stdout.readline()

    with User(url_of(away)) as alice:
        response = alice.get(alice.tasks)

    away.terminate()
    away.communicate(timeout=20)
    assert "cannot be reached" in warning
    assert_problem(response, 503, "database-away")


def test_embedded_database_keeps_its_data_between_starts(
    new_data_dir: str, serve_on: Callable[..., Server]
) -> None:
    first = serve_on(new_data_dir)
    with User(url_of(first)) as alice:
        task = alice.creates("Remember me")
    first.terminate()
    first.communicate(timeout=20)

    again = url_of(serve_on(new_data_dir))

    assert http.get(again + task.url).json() == task.document


def test_an_embedded_database_that_dies_is_started_again(
    data_dir: str, serve_on: Callable[..., Server]
) -> None:
    with User(url_of(serve_on(data_dir))) as alice:
        task = alice.creates("Remember me")
        (pid_file,) = Path(data_dir).rglob("postmaster.pid")
        died = pid_file.read_text()

        os.kill(int(died.split()[0]), signal.SIGKILL)

        assert eventually(lambda: pid_file.exists() and pid_file.read_text() != died, 30)
        assert eventually(lambda: alice.get(task.url).status_code == 200, 30)


@pytest.mark.parametrize(
    ("signalled", "start"),
    [(signal.SIGTERM, executed), (signal.SIGINT, started), (signal.SIGHUP, started)],
)
def test_signal_stops_the_server_and_its_database(
    data_dir: str,
    serve_on: Callable[..., Server],
    signalled: signal.Signals,
    start: Callable[..., Server],
) -> None:
    process = serve_on(data_dir, start)
    url_of(process)
    (pid_file,) = Path(data_dir).rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split()[0])

    process.send_signal(signalled)
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert eventually(lambda: not is_running(postmaster), 5)


@pytest.mark.long
def test_signal_during_the_start_of_the_event_loop_stops_the_server(database_url: str) -> None:
    begun = subprocess.run(
        [sys.executable, "-c", SIGNALLED_AS_THE_LOOP_BEGINS],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (begun.returncode, begun.stderr) == (0, "")


def test_last_of_two_servers_on_one_data_folder_stops_the_database(
    data_dir: str, serve_on: Callable[..., Server]
) -> None:
    first, second = serve_on(data_dir), serve_on(data_dir)
    with User(url_of(first)) as alice:
        task = alice.creates("Shared")
    remaining = url_of(second)

    first.terminate()
    first.communicate(timeout=20)

    assert http.get(remaining + task.url).json() == task.document
    second.terminate()
    second.communicate(timeout=20)
    assert not list(Path(data_dir).rglob("postmaster.pid"))


def test_killed_server_loses_no_acknowledged_write(
    data_dir: str, serve_on: Callable[..., Server]
) -> None:
    killed = serve_on(data_dir)
    with User(url_of(killed)) as alice, ThreadPoolExecutor(8) as pool:

        def create(number: int) -> str | None:
            try:
                return alice.creates(str(number)).url
            except httpx.TransportError:
                return None

        answers = pool.map(create, range(300))
        acknowledged = [next(answers) for _ in range(50)]
        killed.kill()
        acknowledged += list(answers)

    again = url_of(serve_on(data_dir))

    kept = [url for url in acknowledged if url]
    assert 50 <= len(kept) < 300
    assert all(http.get(again + url).status_code == 200 for url in kept)


# Python imports a module of this name at its start, a worker's too.
SLOW_START_OF_A_WORKER = """
import sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    time.sleep(7)
"""


@pytest.mark.long
def test_worker_that_starts_slowly_is_not_killed(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_START_OF_A_WORKER)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    process = executed("--workers", "2", "--database-url", database_url, PYTHONPATH=path)

    with User(url_of(process)) as alice:
        alice.creates()

    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.skipif(not shutil.which("curl"), reason="the example that is printed needs curl")
def test_commands_printed_at_start_work(data_dir: str, serve_on: Callable[..., Server]) -> None:
    process = serve_on(data_dir)
    url = url_of(process)
    assert process.stdout
    swagger_ui = process.stdout.readline().split()[-1]
    curl = process.stdout.readline().split(maxsplit=1)[1].strip()

    created = subprocess.run(
        f"{curl} --silent --write-out ' %{{http_code}}'",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )

    assert created.stdout.endswith(" 201")
    assert swagger_ui == f"{url}/docs"
    assert http.get(swagger_ui).status_code == 200


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("curl"), reason="the example that is printed needs curl")
def test_command_printed_for_local_tokens_works_in_any_terminal(
    data_dir: str, serve_on: Callable[..., Server]
) -> None:
    process = started("--local-tokens", "--data-dir", data_dir)
    url_of(process)
    assert process.stdout
    process.stdout.readline()
    curl = process.stdout.readline().split(maxsplit=1)[1].strip()

    created = subprocess.run(
        f"{curl} --silent --write-out ' %{{http_code}}'",
        shell=True,
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    process.terminate()
    process.communicate(timeout=20)

    assert f"--data-dir {data_dir}" in curl
    assert created.stdout.endswith(" 201")


@pytest.mark.long
def test_of_several_workers_none_repeats_a_warning_of_the_start(
    database_url: str, issuer: Issuer, tmp_path: Path
) -> None:
    keys, errors = tmp_path / "keys.json", tmp_path / "errors"
    keys.write_text(json.dumps({"keys": [issuer.key.jwk, {"kty": "oct", "kid": "symmetric"}]}))
    settings = trusting(issuer, DATABASE_URL=database_url, ERRAND_KEY_FILE=str(keys))
    del settings["ERRAND_JWKS_URL"]

    process = started("--workers", "2", log=errors, **settings)
    assert http.get(url_of(process) + "/health/ready", timeout=60).status_code == 200
    process.terminate()
    process.communicate(timeout=20)

    assert errors.read_text().count("1 keys are left out") == 1


@pytest.mark.long
def test_workers_end_when_their_parent_is_killed(database_url: str) -> None:
    parent = started("--workers", "2", "--database-url", database_url)
    port = httpx.URL(url_of(parent)).port
    assert port
    workers = psutil.Process(parent.pid).children(recursive=True)
    assert http.get(f"http://127.0.0.1:{port}/health/ready", timeout=30).status_code == 200

    parent.kill()
    parent.communicate(timeout=20)

    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_schema_of_a_later_version_is_refused(new_database: Callable[[], str]) -> None:
    url = new_database()
    with administration(url) as execute:
        execute("UPDATE alembic_version SET version_num = '9999', oldest_code = '9998'")

    for command in ("serve", "migrate"):
        ended = errand(command, "--database-url", url)
        assert ended.returncode == 1
        assert "this version knows none after" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_role_without_ddl_rights_gets_a_clear_message(new_database: Callable[[], str]) -> None:
    url = new_database()
    with administration(url) as execute:
        execute("CREATE ROLE reader LOGIN")
        execute("DROP TABLE alembic_version, tasks, users CASCADE")

    ended = errand("migrate", "--database-url", make_dsn(url, user="reader"))

    assert ended.returncode == 1
    assert "The database cannot be migrated: permission denied" in ended.stderr
    assert "Traceback" not in ended.stderr
