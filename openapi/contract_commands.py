"""The commands about a contract: `errand contract`."""

from pathlib import Path

import click

from openapi.complaints import complaints_shown

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
MARKS = {True: "breaks clients", False: ""}
WIDTH = max(map(len, MARKS.values()))


@click.group()
def contract() -> None:
    """Check a contract, or compare two."""


@contract.command()
@click.argument("file", type=FILE, required=False)
def check(file: Path | None) -> None:
    """Name all that would stop the start of a server with this contract.

    FILE is the server's own contract, if it is left out.
    """
    with complaints_shown():
        from openapi.contract.document import CONTRACT, Contract
        from openapi.operations.compile import compile_contract
        from openapi.settings import load_settings

        loaded = Contract.load(file or CONTRACT)
        compile_contract(loaded, load_settings())
        number = len(list(loaded.operations()))
        click.echo(f"{loaded.path}: nothing is wrong with its {number} operations.")


@contract.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def diff(old: Path, new: Path) -> None:
    """Print each change from OLD to NEW, and fail if one breaks clients of OLD."""
    with complaints_shown():
        from openapi.contract.compatibility import changes_between

        changes = changes_between(old, new)
        for each in changes:
            click.echo(f"{MARKS[each.breaks]:{WIDTH}}  {each.text}")
        breaking = sum(each.breaks for each in changes)
        click.echo(f"Changes: {len(changes)}. Breaking: {breaking}.", err=True)
    if breaking:
        raise click.exceptions.Exit(1)
