"""The paths of the project's files, and what a module imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPERATIONS = ROOT / "OPERATIONS.md"
BETTER_AUTH = ROOT / "BETTER-AUTH.md"
PAGES = sorted(ROOT.glob("*.md"))


def imported(path: Path) -> Iterator[str]:
    """The full name of each thing that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
