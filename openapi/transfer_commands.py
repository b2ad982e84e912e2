"""The commands `errand export` and `errand import`, which are clients of a server.

They use the API, not the database: so the server checks and limits what they do as of any client,
they need no more rights than the user has, and they work from any machine.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

CHUNK = 256 * 1024
SECONDS = 900
"""Until a response: that of a large file takes minutes."""
MEDIA_TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv",
    "ics": "text/calendar",
    "json": "application/json",
}
URL = "URL of the server.  [ERRAND_URL; http://127.0.0.1:8000]"
BEARER = "File with the token, or - for standard input.  [or the token itself in ERRAND_TOKEN]"
USER = "The user's id.  [the caller]"
DRY_RUN = "Only say what would be stored."
FORMAT = "What the file is.  [by its name]"


def server_flags(command: Command) -> Command:
    """Flags that say which server, and who asks."""
    for option in (
        click.option("--user", help=USER),
        click.option("--token-file", type=click.File(), help=BEARER),
        click.option("--url", envvar="ERRAND_URL", default="http://127.0.0.1:8000", help=URL),
    ):
        command = option(command)
    return command


def format_flag(*formats: str) -> Callable[[Command], Command]:
    """The flag for the format of the file."""
    return click.option("--format", "form", type=click.Choice(formats), help=FORMAT)


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@format_flag("jsonl", "csv", "ics")
@server_flags
def export_command(file: Path, form: str | None, **server: Any) -> None:
    """Write all that a user has to FILE: JSON Lines, CSV or iCalendar. - is standard output."""
    params = {"format": form or form_of(file, "jsonl", "csv", "ics")}
    with (
        connected(**server) as (client, address),
        client.stream("GET", f"{address}/export", params=params) as response,
    ):
        complain_of(response)
        size = int(response.headers["content-length"])
        with output_to(file) as out, progress(size, "Exporting") as bar:
            for chunk in response.iter_raw(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@format_flag("jsonl", "csv", "ics", "json")
@click.option("--dry-run", is_flag=True, help=DRY_RUN)
@server_flags
def import_command(file: Path, form: str | None, dry_run: bool, **server: Any) -> None:
    """Store all tasks and lists of FILE, or none, and name what is wrong.

    FILE is an export of Errand (.jsonl, .csv, .ics), a project of Todoist (.csv), the tasks of a
    calendar (.ics), or Google Tasks as Takeout exports it (.json).
    """
    form = form or form_of(file, *MEDIA_TYPES)
    size = file.stat().st_size
    headers = {"Content-Type": MEDIA_TYPES[form], "Content-Length": str(size)}
    with connected(**server) as (client, address), file.open("rb") as opened:
        with progress(size, "Sending") as bar:
            response = client.post(
                f"{address}/import",
                params={"dry_run": str(dry_run).lower()},
                content=_chunks(opened, bar),
                headers=headers,
            )
        complain_of(response)
    result = response.json()
    for kind in ("lists", "tasks"):
        counts = ", ".join(f"{number} {name}" for name, number in result[kind].items())
        click.echo(f"{kind.capitalize()}: {counts}.")
    if dry_run:
        click.echo("Nothing was stored: it was a dry run.")


def form_of(file: Path, *known: str) -> str:
    """The format that the name of the file says."""
    form = file.suffix.removeprefix(".").lower()
    if form not in known:
        raise click.UsageError(f"{file} has no suffix of a format: name it with --format.")
    return form


@contextmanager
def connected(url: str, token_file: IO[str] | None, user: str | None) -> Iterator[tuple[Any, str]]:
    """A client of the server, and the path of the user.

    It shows errors of the connection without a traceback.
    """
    import httpx

    token = token_file.read().strip() if token_file else os.environ.get("ERRAND_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=SECONDS) as client:
            yield client, f"/api/{user or _caller(client)}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"{url}: {error}") from error


def _caller(client: Any) -> str:
    """The id of the user whose token it is; in open mode, that of the sample user."""
    response = client.get("/api/me")
    complain_of(response)
    user_id: str = response.json()["user_id"]
    return user_id


def complain_of(response: Any) -> None:
    """Show a problem document, with every fault."""
    if response.is_success:
        return
    response.read()
    try:
        problem = response.json()
        lines = [problem["detail"], *map(_fault, problem.get("errors", ()))]
    except (ValueError, KeyError, TypeError):
        lines = [f"{response.url}: status {response.status_code}. Is this a server of Errand?"]
    raise click.ClickException("\n".join(lines))


def _fault(fault: dict[str, Any]) -> str:
    line = f"line {fault['line']}" if "line" in fault else ""
    place = " ".join(filter(None, (line, fault.get("pointer") or fault.get("parameter"))))
    return f"  {place}: {fault['detail']}" if place else f"  {fault['detail']}"


def progress(size: int, label: str) -> Any:
    """A progress bar on a terminal; nothing elsewhere."""
    return click.progressbar(length=size, label=label, file=sys.stderr)


@contextmanager
def output_to(file: Path) -> Iterator[IO[bytes]]:
    """The file, which is there only once it is complete; no other user may read it."""
    from db.private_files import open_private

    if str(file) == "-":
        yield sys.stdout.buffer
        return
    draft = file.with_name(f"{file.name}.part")
    try:
        with open_private(draft, truncate=True) as opened:
            yield opened
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _chunks(file: IO[bytes], bar: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
        bar.update(len(chunk))
