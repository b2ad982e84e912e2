"""The text that is printed when the server starts: its URL, and a request to try."""

import shlex
from ipaddress import ip_address

import click

from openapi.access.principal import SAMPLE_USER
from openapi.invocation import invocation
from openapi.settings import Settings, default_data_dir

EXAMPLE_BODY = """-H 'Content-Type: application/json' -d '{"title": "Buy milk"}'"""


def announce(
    settings: Settings, host: str, port: int, *, durable: bool, metrics_port: int | None
) -> None:
    """Print the URL of the server, and commands that can be pasted."""
    at = _url(_reachable(host), port)
    example = f"{at}/api/{SAMPLE_USER.user_id}/tasks {EXAMPLE_BODY}"
    click.echo(f"Errand listens on {_url(host, port)}")
    click.echo(f"  Swagger UI  {at}/docs")
    if settings.local_tokens:
        click.echo(f'  Try         curl -H "Authorization: Bearer $({_token(settings)})" {example}')
    if metrics_port is not None:
        click.echo(f"  Metrics     {_url(_reachable(settings.metrics_host), metrics_port)}/metrics")
    if not settings.requires_tokens:
        click.echo(f"  Try         curl {example}")
        click.echo("  Open mode   every client that reaches this address can change all tasks")
    if not durable:
        click.echo("  Ephemeral   all data are removed when the server stops")


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _reachable(host: str) -> str:
    """An address to connect to: clients cannot connect to that of all interfaces."""
    address = ip_address(host)
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004


def _token(settings: Settings) -> str:
    """The command that prints a token for this server; other terminals may lack the environment."""
    command = f"{invocation()} token"
    if settings.data_dir == default_data_dir():
        return command
    return f"{command} --data-dir {shlex.quote(str(settings.data_dir.absolute()))}"
