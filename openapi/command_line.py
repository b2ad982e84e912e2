"""The command `errand`."""

import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from openapi.backup_commands import backup, restore
from openapi.complaints import complaints_shown
from openapi.contract_commands import contract, stubs
from openapi.database_flags import database_flags
from openapi.mcp_command import mcp
from openapi.transfer_commands import export_command, import_command

OPEN = "Need no tokens, on any address.  [ERRAND_OPEN]"
LOCAL_TOKENS = "Accept the tokens that `errand token` makes.  [ERRAND_LOCAL_TOKENS]"
EPHEMERAL = "Serve from a new database that is removed when the server stops."
DISTRIBUTE = "Lay the tables out over the nodes of a Citus cluster; later runs need no flag."
HOURS = "How long it is valid.  [24]"


def main() -> None:
    """Run the command; what it has started stops with it, however it ends."""
    # uvicorn stops on a signal and raises it again: it must end in an exit, not in a death.
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, lambda *_: sys.exit(0))
    errand(prog_name="errand")


def not_empty(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse an empty value, such as that of a shell variable which is not set."""
    if value == "":
        raise click.BadParameter("it is empty")
    return value


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="errand", prog_name="errand")
def errand() -> None:
    """A task API server made from its OpenAPI contract.

    Every setting can also stand in the environment, or in a file named .env; flags come first.
    """


@errand.command()
@click.option("--host", help="Address to listen on.  [ERRAND_HOST; 127.0.0.1]")
@click.option("--port", help="Port to listen on; 0 takes any.  [ERRAND_PORT; 8000]")
@click.option("--workers", help="Processes that serve.  [ERRAND_WORKERS; 1]")
@click.option("--open", is_flag=True, default=None, help=OPEN)
@click.option("--local-tokens", is_flag=True, default=None, help=LOCAL_TOKENS)
@click.option("--log-level", help="debug, info, warning or error.  [ERRAND_LOG_LEVEL; info]")
@click.option("--ephemeral", is_flag=True, help=EPHEMERAL)
@database_flags
def serve(ephemeral: bool, **flags: str | bool | None) -> None:
    """Serve the API and its documentation."""
    if ephemeral:
        refuse_lasting_data(flags)
    with complaints_shown():
        from openapi.server import run
        from openapi.settings import load_settings

        settings = load_settings(**flags)
        run.serve_ephemeral(settings) if ephemeral else run.serve(settings)


def refuse_lasting_data(flags: Mapping[str, Any]) -> None:
    """Refuse a database or a folder beside a database that is gone at the end."""
    for name in ("database_url", "data_dir"):
        if flags[name] is not None:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"--ephemeral brings a database of its own: leave out {flag}")


@errand.command()
@click.option("--distribute", is_flag=True, help=DISTRIBUTE)
@database_flags
def migrate(distribute: bool, **flags: str | None) -> None:
    """Bring the database's schema to this version."""
    with complaints_shown():
        from db.citus.opening import is_distributed
        from db.distribution import distribute as lay_out
        from db.migrate import migrate as run
        from openapi.server.run import database_at
        from openapi.settings import load_settings

        with database_at(load_settings(**flags)) as url:
            version = run(url)
            click.echo(f"The database's schema is {version}.")
            if distribute or is_distributed(url):
                click.echo(f"The tables are distributed: {lay_out(url)} shards.")


@errand.command()
@click.option(
    "--user",
    callback=not_empty,
    help="Its user: an id, or any name.  [the sample user]",
)
@click.option("--hours", type=click.FloatRange(0, 24 * 365, min_open=True), default=24, help=HOURS)
@click.option("--data-dir", help="Folder of the key it is signed with.  [ERRAND_DATA_DIR]")
def token(user: str | None, hours: float, data_dir: str | None) -> None:
    """Print a token for a server that was started with --local-tokens."""
    with complaints_shown():
        from openapi.access.local_tokens import issue
        from openapi.access.policy import check_local_token
        from openapi.access.principal import SAMPLE_USER
        from openapi.settings import load_settings

        settings = load_settings(data_dir=data_dir)
        lifetime = timedelta(hours=hours)
        check_local_token(settings, lifetime)
        click.echo(issue(settings.data_dir, user or str(SAMPLE_USER.user_id), lifetime))


@errand.command()
@click.option("--trash-days", help="Days after which it is purged.  [ERRAND_TRASH_DAYS; 30]")
@database_flags
def purge(**flags: str | None) -> None:
    """Delete for good the tasks that are in the trash for too long."""
    with complaints_shown():
        from openapi.server.run import purge as run
        from openapi.settings import load_settings

        purged = run(load_settings(**flags))
        click.echo(f"{purged} tasks were purged.")


@errand.command()
@database_flags
def rotate_token_secret(**flags: str | None) -> None:
    """Replace the secret that signs cursors and the tokens of the change feed.

    What clients were given before is refused afterwards. Restart every server.
    """
    with complaints_shown():
        from db.token_secret import rotate
        from openapi.server.run import database_at
        from openapi.settings import load_settings

        with database_at(load_settings(**flags)) as url:
            rotate(url)
        click.echo("The token secret is a new one. Restart every server of this database.")


for command in (export_command, import_command, backup, restore, mcp, contract, stubs):
    errand.add_command(command)
