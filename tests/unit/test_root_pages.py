"""What the pages at the root name exists: files, headings, settings, commands."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from openapi.command_line import errand
from openapi.contract.document import Contract
from openapi.contract_commands import contract
from openapi.settings import OF_COMMANDS, PREFIX, Settings, variable
from tests.support.project import PAGES, README, ROOT

FOLDERS = ("openapi", "handlers", "db", "tests", ".ci")
SUFFIXES = ("py", "md", "yaml", "toml", "lock", "json")
METHODS = {"get", "post", "put", "patch", "delete"}
SETTINGS = {variable(name) for name in Settings.model_fields} | OF_COMMANDS
FILES = {
    path.name for place in (ROOT, *(ROOT / name for name in FOLDERS)) for path in place.rglob("*.*")
}

COMMANDS = {name: command for name, command in errand.commands.items() if name != contract.name} | {
    f"contract {name}": command for name, command in contract.commands.items()
}

COMMAND = r"(?:^|bin/|\s)errand ((?:contract )?[a-z][a-z-]+)\b([^\n]*)"

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@on_every_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page))
    targets = [*links, *re.findall(r"src=\"([^\"]+)\"", prose(page))]

    assert not [target for target in targets if not leads_somewhere(page, target)]


@on_every_page
def test_every_file_and_folder_named_exists(page: Path) -> None:
    names = re.findall(r"`([\w./-]+)`", prose(page))
    paths = [name for name in names if name.startswith(tuple(f"{each}/" for each in FOLDERS))]
    bare = [name for name in names if re.fullmatch(rf"[\w-]+\.({'|'.join(SUFFIXES)})", name)]

    assert not [path for path in paths if not (ROOT / path).exists()]
    assert not set(bare) - FILES


@on_every_page
def test_every_setting_named_exists(page: Path) -> None:
    named = set(re.findall(rf"(?<!_)\b{PREFIX}[A-Z_]+", page.read_text()))

    assert not named - SETTINGS


@on_every_page
def test_every_command_named_exists_with_its_flags(page: Path) -> None:
    modules = re.findall(r"python -m ([\w.]+)([^\n`]*)", code(page))
    commands = re.findall(
        r"(?:^|bin/|\s)errand ((?:contract )?[a-z][a-z-]+)\b([^\n]*)", code(page), re.M
    )

    for module, arguments in modules:
        assert find_spec(module) is not None
        assert not flags(arguments) - flags_of_module(module)
    for command, arguments in commands:
        assert not flags(arguments) - flags_of_command(command)


def test_the_page_of_operations_names_every_command() -> None:
    text = (ROOT / "OPERATIONS.md").read_text()

    assert not [name for name in COMMANDS if f"`errand {name}`" not in text]


def test_the_page_of_architecture_names_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    packages = [
        path.parent.relative_to(ROOT)
        for top in ("openapi", "handlers", "db")
        for path in (ROOT / top).rglob("__init__.py")
        if path.parent.name != "versions"
    ]

    assert not [each for each in packages if f"| `{each}/` |" not in text]


def test_the_readme_lists_the_operations_of_the_contract() -> None:
    paths = Contract.load().specification["paths"]
    operations = {
        f"{method.upper()} {path}" for path, item in paths.items() for method in METHODS & {*item}
    }
    named = re.findall(r"`([A-Z]+ /[\w/{}]+)`", README.read_text())

    assert set(named) == operations


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") <= 130


def test_the_figures_of_the_readme_are_those_of_the_page_of_performance() -> None:
    section = README.read_text().partition("## How fast it is\n")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\d+\.\d+", section))

    assert figures
    assert not figures - set(re.findall(r"\d+\.\d+", (ROOT / "PERFORMANCE.md").read_text()))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def code(page: Path) -> str:
    """The page's shell commands, in blocks and between backticks, a line each."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", prose(page))])


def flags(arguments: str) -> set[str]:
    """The long flags of a command line."""
    return set(re.findall(r"(?<!\S)--[a-z-]+", arguments))


def flags_of_module(module: str) -> set[str]:
    """The flags that a module of the tests declares; other modules declare none here."""
    main = ROOT / module.replace(".", "/") / "__main__.py"
    return set(re.findall(r"\"(--[a-z-]+)\"", main.read_text())) if main.exists() else set()


def flags_of_command(command: str) -> set[str]:
    """The flags of a command of `errand`; fails if there is no such command."""
    return {"--help", *(flag for each in COMMANDS[command].params for flag in each.opts)}


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether the file of a link exists, and the heading that it names."""
    path, _, heading = target.partition("#")
    file = ROOT / path if path else page
    return file.exists() and (not heading or heading in headings(file))


def headings(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
