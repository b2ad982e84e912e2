"""The flags of commands that say where the data is."""

from typing import Any

import click

VISIBLE = (
    "Every user of this machine can see the password on the command line: set DATABASE_URL in the "
    "environment or in .env, or leave the password to the file that PGPASSFILE names."
)


def database_flags(command: Any) -> Any:
    """Flags that say where the data is."""
    for flag, text in (
        ("--data-dir", "Folder of the embedded PostgreSQL.  [ERRAND_DATA_DIR]"),
        ("--database-url", "libpq URL; without it, PostgreSQL is embedded.  [DATABASE_URL]"),
    ):
        command = click.option(flag, help=text, callback=warn_of_password)(command)
    return command


def warn_of_password(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Warn of a URL with a password: the command lines of all processes can be listed."""
    if option.name == "database_url" and value:
        from db.postgres.database_url import has_password

        if has_password(value):
            click.echo(VISIBLE, err=True)
    return value
