"""The commands `errand backup` and `errand restore`, of a whole database."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openapi.complaints import complaints_shown
from openapi.database_flags import database_flags

if TYPE_CHECKING:
    from db.backups import User

VERIFY = "Restore the backup into a new folder, and compare the data of all users.  [yes]"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--verify/--no-verify", default=True, help=VERIFY)
@database_flags
def backup(file: Path, verify: bool, **flags: str | None) -> None:
    """Write a backup of the whole database to FILE, while servers run.

    With a DATABASE_URL, it is that of a superuser or of a role with BYPASSRLS.
    """
    with complaints_shown():
        from db.backups import back_up, require_same
        from openapi.server.run import database_at
        from openapi.settings import load_settings

        with database_at(load_settings(**flags)) as url:
            users = back_up(url, file)
        click.echo(f"{file} has {_described(users)}.")
        if verify:
            require_same(_restored(file), users)
            click.echo("It was restored into a new folder, and all users have the same data there.")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@database_flags
def restore(file: Path, **flags: str | None) -> None:
    """Restore a backup from FILE into an empty database, or a new data folder.

    With a DATABASE_URL, it is that of the role that will own the tables.
    """
    with complaints_shown():
        from db.backups import restore as run
        from openapi.server.run import database_at
        from openapi.settings import load_settings

        with database_at(load_settings(**flags)) as url:
            users = run(url, file)
        click.echo(f"Restored: {_described(users)}. The data of each match their digest.")


def _restored(file: Path) -> "list[User]":
    """The users of the backup, after a restoration into a folder that is removed."""
    from db.backups import restore as run
    from db.postgres.embedded import running_postgres

    with tempfile.TemporaryDirectory(prefix="errand-backup-") as name:
        folder = Path(name)
        # Root's PostgreSQL runs as another user, who must reach its own folder in there.
        folder.chmod(0o755)
        with running_postgres(folder / "data", durable=False) as url:
            return run(url, file)


def _described(users: "list[User]") -> str:
    return f"{len(users):,} users with {sum(each.tasks for each in users):,} tasks"
