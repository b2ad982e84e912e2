"""The commands about a contract: `errand contract`, `errand stubs`."""

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


def complete_operation(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    """The operations that a shell proposes: those that nothing implements."""
    from openapi.contract.document import Contract
    from openapi.contract.faults import UnusableContract
    from openapi.stubs.missing import NoStub, missing_operations

    try:
        missing = missing_operations(Contract.load())
    except (UnusableContract, NoStub):
        return []
    return [each.id for each in missing if each.id.startswith(typed)]


@click.command()
@click.argument(
    "operations", nargs=-1, metavar="[OPERATION_ID]...", shell_complete=complete_operation
)
@click.option("--write", is_flag=True, help="Make the files, or append to them.")
def stubs(operations: tuple[str, ...], write: bool) -> None:
    """Print the code that operations of the contract need and lack.

    It is a handler for each operation, its test, and for a new resource the model and the
    migration: for all operations that nothing implements, or for those that are named.
    """
    with complaints_shown():
        from openapi.contract.document import Contract
        from openapi.stubs import files as project

        files = project.files_of(Contract.load(), operations)
        if write:
            project.write(files)
        for file in files:
            click.echo(file.title if write else f"# {file.title}\n{file.text}")
    for name in project.new_modules(files):
        click.echo(f"In pyproject.toml, add {name} to the layers of handlers.", err=True)
    if not files:
        click.echo("Every operation of the contract is implemented.", err=True)
