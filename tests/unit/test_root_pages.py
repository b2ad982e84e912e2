"""What the pages at the root name exists: files, headings, settings, commands."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from openapi.command_line import errand
from openapi.settings import PREFIX, Settings, variable
from tests.support.project import PAGES, ROOT

FOLDERS = ("openapi", "handlers", "db", "tests", ".ci")
SUFFIXES = ("py", "md", "yaml", "toml", "lock", "json")
SETTINGS = {variable(name) for name in Settings.model_fields}
FILES = {
    path.name for place in (ROOT, *(ROOT / name for name in FOLDERS)) for path in place.rglob("*.*")
}

on_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@on_every_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose(page))

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
def test_every_command_named_exists(page: Path) -> None:
    text = page.read_text()
    modules = re.findall(r"python -m ([\w.]+)", text)
    commands = re.findall(r"(?:^|bin/|\s)errand ([a-z][a-z-]+)\b", code(page), re.M)

    assert not [module for module in modules if find_spec(module) is None]
    assert not set(commands) - set(errand.commands)


def test_the_page_of_operations_names_every_command() -> None:
    text = (ROOT / "OPERATIONS.md").read_text()

    assert not [name for name in errand.commands if f"errand {name}" not in text]


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def code(page: Path) -> str:
    """The page's shell commands, in blocks and between backticks, a line each."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    return "\n".join([*blocks, *re.findall(r"`([^`\n]+)`", prose(page))])


def leads_somewhere(page: Path, target: str) -> bool:
    """Whether the file of a link exists, and the heading that it names."""
    path, _, heading = target.partition("#")
    file = ROOT / path if path else page
    return file.exists() and (not heading or heading in headings(file))


def headings(page: Path) -> set[str]:
    """The anchors of the page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
