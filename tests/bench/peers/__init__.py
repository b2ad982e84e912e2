"""Errand and its peers: how each is installed, started and asked whether its answers are right."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx

from tests.bench.data import READER, TITLE, owner_id, task_id
from tests.bench.tokens import Tokens
from tests.bench.workloads import LIST_PATH

SOURCES = Path(__file__).parent
DEBIANS_GO_PACKAGES = Path("/usr/share/gocode")
START_SECONDS = 60
STOP_SECONDS = 20
POLL_SECONDS = 0.005
FIELDS = {"id", "user_id", "title", "description", "completed", "created_at", "updated_at"}


class Unavailable(Exception):
    """A peer cannot be had on this machine, for this reason."""


class WrongAnswer(Exception):
    """A peer does not do what the others do."""


@dataclass(frozen=True)
class Peer:
    """One server; `prepare` installs it in a folder, and returns the command that runs so many
    processes of it, less the port.
    """

    name: str
    title: str
    prepare: Callable[[Path, int], list[str]]
    errands_schema: bool = False
    migrate: list[str] | None = None
    """The command that makes this checkout's schema, where it is not the one of this Python."""
    asks_for_tokens: bool = False
    logs_requests: bool = False


@dataclass(frozen=True)
class Server:
    """A peer that runs."""

    url: str
    pid: int


@contextmanager
def running(
    command: list[str], environment: dict[str, str], log: IO[bytes], path: str = LIST_PATH
) -> Iterator[Server]:
    """Run a server on a free port, and wait until it answers for this path."""
    port = free_port()
    process = subprocess.Popen(
        [*command, str(port)], env={**os.environ, **environment}, stdout=log, stderr=log
    )
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid)
        wait_for(server, process, path)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(server: Server, process: "subprocess.Popen[bytes]", path: str) -> None:
    """Return when the server answers, be it that it wants a token."""
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=server.url) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(httpx.TransportError):
                if not client.get(path).is_server_error:
                    return
            time.sleep(POLL_SECONDS)
    raise Unavailable("it does not start; see its log")


def free_port() -> int:
    """A free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def check(server: Server, tokens: Tokens | None) -> None:
    """Each operation does what it should, and what is malformed is refused."""
    with httpx.Client(base_url=server.url, auth=tokens) as client:
        check_reads(client)
        check_writes(client)
        for refused in (
            client.get(f"/api/{READER}/tasks/not-a-uuid"),
            client.get(f"{LIST_PATH}?limit=1000"),
            client.post(LIST_PATH, json={"title": ""}),
        ):
            expect(refused.is_client_error, refused)


def check_reads(client: httpx.Client) -> None:
    task = client.get(f"{LIST_PATH}/{task_id(17)}")
    expect(task.status_code == httpx.codes.OK and task.json().keys() >= FIELDS, task)
    expect(task.json()["id"] == task_id(17) and task.json()["title"] == TITLE, task)
    page = client.get(LIST_PATH)
    newest_first = [task_id(number) for number in range(9_999, 9_949, -1)]
    expect([each["id"] for each in page.json()] == newest_first, page)
    expect(all(each.keys() >= FIELDS for each in page.json()), page)


def check_writes(client: httpx.Client) -> None:
    tasks = f"/api/{owner_id(10_000)}/tasks"
    created = client.post(tasks, json={"title": TITLE})
    expect(created.status_code == httpx.codes.CREATED and created.json().keys() >= FIELDS, created)
    path = f"{tasks}/{created.json()['id']}"
    for completed in (True, False):
        toggled = client.patch(f"{path}/complete")
        expect(toggled.is_success and toggled.json()["completed"] is completed, toggled)
        stored = client.get(path)
        expect(stored.json() == toggled.json(), stored)


def expect(as_it_should: bool, response: httpx.Response) -> None:
    if not as_it_should:
        asked = f"{response.request.method} {response.request.url}"
        raise WrongAnswer(f"{asked}: {response.status_code} {response.text[:200]}")


def errand(_: Path, processes: int) -> list[str]:
    """As it is in this Python."""
    return [sys.executable, "-m", "openapi", "serve", "--workers", str(processes), "--port"]


def baseline(folder: Path) -> Peer:
    """Errand as it is in another checkout, which uses the packages of this Python."""
    python = ["env", "-C", str(folder), f"PYTHONPATH={folder}", sys.executable, "-m", "openapi"]

    def prepare(_: Path, processes: int) -> list[str]:
        return [*python, "serve", "--workers", str(processes), "--port"]

    title = f"Errand in {folder.name}"
    return Peer("baseline", title, prepare, errands_schema=True, migrate=[*python, "migrate"])


def uvicorn(source: str) -> Callable[[Path, int], list[str]]:
    """A Python peer, in an environment of its own that lasts until its requirements change."""

    def prepare(cache: Path, processes: int) -> list[str]:
        requirements = SOURCES / source / "requirements.txt"
        version = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
        python = cache / f"{source}-{version}" / "bin" / "python"
        if not python.exists():
            draft = cache / f"{source}-{version}"
            venv.create(draft, with_pip=True)
            install([str(python), "-m", "pip", "install", "-q", "-r", str(requirements)], draft)
        app = ["-m", "uvicorn", "app:app", "--app-dir", str(SOURCES / source)]
        quiet = ["--no-access-log", "--log-level", "warning"]
        return [str(python), *app, *quiet, "--workers", str(processes), "--port"]

    return prepare


def node(cache: Path, processes: int) -> list[str]:
    """Fastify, in a copy that has its packages beside it."""
    require("node", "npm")
    copy = cache / "fastify-pg"
    shutil.copytree(SOURCES / "fastify-pg", copy, dirs_exist_ok=True)
    if not (copy / "node_modules").exists():
        install(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"], copy)
    if processes == 1:
        return ["node", str(copy / "app.js")]
    return ["node", str(copy / "cluster.js"), str(processes)]


def go(cache: Path, cores: int) -> list[str]:
    """Gin, built from the sources that Debian packages: one process, on as many cores."""
    require("go")
    if not (DEBIANS_GO_PACKAGES / "src/github.com/gin-gonic/gin").exists():
        raise Unavailable("apt-get install golang-github-gin-gonic-gin-dev")
    if not (DEBIANS_GO_PACKAGES / "src/github.com/jackc/pgx/v4").exists():
        raise Unavailable("apt-get install golang-github-jackc-pgx-v4-dev")
    binary = cache / "gin-pgx"
    build = ["env", "GO111MODULE=off", f"GOPATH={DEBIANS_GO_PACKAGES}", f"GOCACHE={cache / 'go'}"]
    install([*build, "go", "build", "-o", str(binary), "."], None, cwd=SOURCES / "gin-pgx")
    return ["env", f"GOMAXPROCS={cores}", str(binary)]


def require(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise Unavailable(f"there is no {program} on the PATH")


def install(command: list[str], target: Path | None, cwd: Path | None = None) -> None:
    """Run a command that fetches or builds; what it leaves half done is removed."""
    done = subprocess.run(command, cwd=cwd or target, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if target:
            shutil.rmtree(target, ignore_errors=True)
        raise Unavailable(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-300:]}")


ERRAND = Peer("errand", "Errand", errand, errands_schema=True)
GUARDED = Peer("tokens", "Errand, with tokens", errand, errands_schema=True, asks_for_tokens=True)
LOGGING = Peer("logging", "Errand, with its log", errand, errands_schema=True, logs_requests=True)
PEERS = {
    each.name: each
    for each in (
        GUARDED,
        LOGGING,
        Peer("gin", "Gin + pgx (Go)", go),
        Peer("fastify", "Fastify + pg (Node)", node),
        Peer("litestar", "Litestar + asyncpg + msgspec", uvicorn("litestar-asyncpg")),
        Peer("fastapi", "FastAPI + SQLModel + psycopg2", uvicorn("fastapi-sqlmodel")),
    )
}
PGBENCH = "pgbench"
PGBENCH_TITLE = "no server: pgbench, Errand's SQL"
