"""The command of agents, `errand mcp`, which is a client of a server."""

import os
import signal
from pathlib import Path

import click

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOCAL = "http://127.0.0.1:8000"
URL = f"URL of the server.  [ERRAND_URL; {LOCAL}]"
BEARER = "File with the token, read for each call.  [or the token itself in ERRAND_TOKEN]"
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--url", envvar="ERRAND_URL", default=LOCAL, help=URL)
@click.option("--token-file", type=FILE, help=BEARER)
def mcp(url: str, token_file: Path | None) -> None:
    """Give an agent the tools of a server, over standard input and output (MCP)."""
    try:
        from openapi.mcp.stdio import NoTools, tools_at
    except ImportError as error:
        raise click.ClickException(
            f"`errand mcp` needs packages that are not installed ({error.name}):"
            " run `pip install 'errand[mcp]'`."
        ) from error
    for stop in STOPS:
        # Nothing has to be stopped first, and a thread that reads would keep the process.
        signal.signal(stop, signal.SIG_DFL)

    def token() -> str | None:
        return token_file.read_text().strip() if token_file else os.environ.get("ERRAND_TOKEN")

    try:
        tools_at(url, token).run("stdio", show_banner=False)
    except NoTools as error:
        raise click.ClickException(str(error)) from error
