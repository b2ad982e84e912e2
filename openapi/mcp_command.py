"""The command of agents: `errand mcp`."""

import signal

import click

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOCAL = "http://127.0.0.1:8000"


@click.command()
@click.option(
    "--url", envvar="ERRAND_URL", default=LOCAL, help=f"The server.  [ERRAND_URL; {LOCAL}]"
)
@click.option("--token", envvar="ERRAND_TOKEN", help="For a server with tokens.  [ERRAND_TOKEN]")
def mcp(url: str, token: str | None) -> None:
    """Give an agent the tools of a server, over standard input and output (MCP)."""
    try:
        from openapi.mcp.stdio import NoTools, run
    except ImportError as error:
        raise click.ClickException(
            f"`errand mcp` needs packages that are not installed ({error.name}):"
            " run `pip install 'errand[mcp]'`."
        ) from error
    for stop in STOPS:
        # Nothing has to be stopped first, and a thread that reads would keep the process.
        signal.signal(stop, signal.SIG_DFL)
    try:
        run(url, token)
    except NoTools as error:
        raise click.ClickException(str(error)) from error
