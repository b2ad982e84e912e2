"""The embedded PostgreSQL server of one folder: its cluster, its start, its end."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psycopg2

from db.errors import EmbeddedPostgresError
from db.postgres.embedded_account import find_binaries, initdb_account, server_account, user_name
from db.private_files import open_private, require_private_folder

NAME, PORT = "errand", 5432
FIRST_MAJOR_WITH_LOCALES_OF_ITS_OWN = 17
LONGEST_SOCKET_PATH = 100
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 600, 60, 0.01
UNSAFE_BUT_FAST = ("--fsync=off", "--synchronous_commit=off", "--full_page_writes=off")

# Nothing of a statement is logged, for it holds users' texts: neither itself, nor the message or
# detail of its error. A file is named by its weekday, and emptied when that day comes again.
LOGGING = (
    "--log_min_error_statement=panic",
    "--log_min_messages=log",
    "--log_error_verbosity=terse",
    "--log_checkpoints=off",
    "--logging_collector=on",
    "--log_filename=%a.log",
    "--log_rotation_age=1d",
    "--log_rotation_size=0",
    "--log_truncate_on_rotation=on",
)


class Postmaster(NamedTuple):
    """What postmaster.pid says of a server."""

    pid: int
    socket_folder: Path
    ready: bool

    def url(self, database: str) -> str:
        """The libpq URL of one of its databases, as the owner of everything."""
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


class Server:
    """The server of one folder, whichever process has started it."""

    def __init__(self, data_dir: Path, *, durable: bool, max_connections: int) -> None:
        self.folder = data_dir.expanduser().resolve()
        self.cluster = self.folder / "cluster"
        self.stopping = threading.Event()
        self._account = server_account()
        self._durable = durable
        self._max_connections = max_connections
        self._child: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(self.folder.iterdir()):
            self._account.make_private(self.folder)
        require_private_folder(self.folder)
        self._account.let_through(self.folder)
        self._account.require_reachable(self.folder)

    def running(self) -> Postmaster:
        """Wait until a server is ready; if the running one is stopping, start the next."""
        deadline = time.monotonic() + START_SECONDS
        launched = False
        while time.monotonic() < deadline:
            postmaster = self.postmaster()
            if postmaster and postmaster.ready and postmaster.has_database():
                return postmaster
            if not self.pid():
                if launched:
                    self._raise_unless_orphans_linger()
                self._launch()
                launched = True
            if self.stopping.wait(POLL_SECONDS):
                raise EmbeddedPostgresError("PostgreSQL was still starting")
        raise EmbeddedPostgresError(f"PostgreSQL needs over {START_SECONDS} s: see {self.folder}")

    def postmaster(self) -> Postmaster | None:
        """Read postmaster.pid, which grows line by line and may be left over or copied along."""
        with suppress(FileNotFoundError, ValueError):
            text = (self.cluster / "postmaster.pid").read_text(errors="surrogateescape")
            pid, cluster, _, _, socket_folder, *others = text.splitlines()
            if cluster == str(self.cluster):
                return Postmaster(int(pid), Path(socket_folder), others[2:] == ["ready   "])
        return None

    def pid(self) -> int | None:
        """The process that serves, if there is one."""
        if self._child and self._child.poll() is None:
            return self._child.pid
        postmaster = self.postmaster()
        return postmaster.pid if postmaster and self._is_served_by(postmaster.pid) else None

    def stop(self) -> None:
        """Ask for a fast shutdown, and wait for the end of the process, which outlives its file."""
        deadline = time.monotonic() + STOP_SECONDS
        if pid := self.pid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            while self._is_served_by(pid) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        with suppress(OSError):
            self._socket_folder().rmdir()

    def _is_served_by(self, pid: int) -> bool:
        """Whether this is the cluster's server, and not another process with its number."""
        command_line = b"postgres -D " + os.fsencode(self.cluster) + b" "
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            return command_line in words.replace(b"\0", b" ")
        with suppress(OSError):  # without /proc; where there is one there need be no ps
            ps = f"ps -ww -o args= -p {pid}".split()
            found = subprocess.run(ps, capture_output=True, check=False)  # noqa: S603
            return command_line in found.stdout
        return False

    def _launch(self) -> None:
        """Start it, on a new cluster if there is none."""
        binaries, major = find_binaries(self._account, self.folder)
        if not self.cluster.exists():
            self._create_cluster(binaries, major)
        self._account.own_all(self.cluster)
        self._require_same_major(major)
        # A pid left in these files is not our server's, or we would not be here; but if reused, it
        # would block PostgreSQL, which knows its own orphans by their shared memory.
        sockets = self._socket_folder()
        for stale in (self.cluster / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        command: list[str | Path] = [binaries / "postgres", "-D", self.cluster, "-k", sockets]
        command += ["-h", "", "-p", str(PORT), "--unix_socket_permissions=0700", "--timezone=UTC"]
        command += [f"--max_connections={self._max_connections}", *self._access(), *LOGGING]
        command += [f"--log_directory={self._own_folder(self.folder / 'log')}"]
        command += () if self._durable else UNSAFE_BUT_FAST
        with open_private(self._startup_log(), truncate=True) as output:
            options = self._account.process_options() | {"stdout": output, "stderr": output}
            self._child = subprocess.Popen(command, **options)  # noqa: S603
        # It may outlive this object: we stay its parent, and reap it whenever it ends.
        threading.Thread(target=self._child.wait, daemon=True).start()

    def _access(self) -> list[str]:
        """Let our own user in, as any role, known by the socket's other end; and no other user."""
        user = user_name().replace('"', '""')
        # PostgreSQL 15 does not know `all` here, and takes it for a role of that name.
        roles = "".join(f'{NAME} "{user}" {role}\n' for role in (NAME, f"{NAME}_app", "all"))
        files = {"hba_file": f"local all all peer map={NAME}\n", "ident_file": roles}
        for name, content in files.items():
            path = self.folder / f"{name}.conf"
            with open_private(path, truncate=True) as file:
                file.write(content.encode())
            self._account.let_read(path)
        return [f"--{name}={self.folder / name}.conf" for name in files]

    def _create_cluster(self, binaries: Path, major: int) -> None:
        """Run initdb beside and rename, so that one that is killed leaves no half cluster."""
        for leftover in self.folder.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        account = initdb_account(self._account)
        draft = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder))
        account.own(draft)
        options = ["-U", NAME, "-A", "peer", "-E", "UTF8", "--locale=C", "--data-checksums"]
        if major >= FIRST_MAJOR_WITH_LOCALES_OF_ITS_OWN:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options += [] if self._durable else ["--no-sync"]
        made = account.run(binaries / "initdb", "-D", draft, *options)
        if made.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL's initdb failed:\n{made.stderr.strip()}")
        self._account.own_all(draft)
        draft.rename(self.cluster)
        if self._durable:
            os.sync()  # the new name, too, must outlast a power cut

    def _require_same_major(self, major: int) -> None:
        kept = (self.cluster / "PG_VERSION").read_text().strip()
        if kept != str(major):
            raise EmbeddedPostgresError(
                f"{self.folder} holds data of PostgreSQL {kept}, but the server here is {major}: "
                f"install PostgreSQL {kept}, or move the data over with pg_dump"
            )

    def _socket_folder(self) -> Path:
        """A private folder; a temporary one if the path is too long or libpq would split it."""
        folder = self.folder / "socket"
        path = os.fsencode(folder / f".s.PGSQL.{PORT}")
        if len(path) > LONGEST_SOCKET_PATH or b"," in path or b'"' in path:
            ours = self.folder.stat()
            folder = Path(tempfile.gettempdir(), f"{NAME}-{ours.st_dev:x}-{ours.st_ino:x}")
        return self._own_folder(folder)

    def _own_folder(self, folder: Path) -> Path:
        """A folder for the server's account alone."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid not in (os.geteuid(), self._account.user):
            raise EmbeddedPostgresError(f"{folder} is another user's: remove it")
        self._account.own(folder)
        return folder

    def _startup_log(self) -> Path:
        return self.folder / "startup.log"

    def _raise_unless_orphans_linger(self) -> None:
        lines = self._startup_log().read_text(errors="replace").strip().splitlines()
        # A killed server's own processes end within moments, and until then hold its memory.
        if not any("pre-existing shared memory block" in line for line in lines):
            end = "\n".join(lines + self._newest_log_lines())
            raise EmbeddedPostgresError(f"PostgreSQL ended at its start:\n{end}")
        time.sleep(10 * POLL_SECONDS)

    def _newest_log_lines(self) -> list[str]:
        logs = sorted((self.folder / "log").iterdir(), key=lambda path: path.lstat().st_mtime)
        newest = [path for path in logs if not path.is_symlink()][-1:]
        return newest[0].read_text(errors="replace").strip().splitlines()[-10:] if newest else []
