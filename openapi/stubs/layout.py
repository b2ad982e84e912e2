"""Python text as `ruff format` lays it out."""

import json
from typing import Any, NamedTuple

WIDTH = 100
LONG = 20
INDENT = " " * 4


class Brackets(NamedTuple):
    """Text with brackets: a call, a signature, or a literal."""

    before: str
    items: "list[Part]"
    after: str
    is_literal: bool = False


Part = str | Brackets


def flat(part: Part) -> str:
    """The text on one line."""
    if isinstance(part, str):
        return part
    return part.before + ", ".join(map(flat, part.items)) + part.after


def lines(part: Part, indent: str = "", end: str = "") -> list[str]:
    """The text on as few lines as fit into the width."""
    whole = f"{indent}{flat(part)}{end}"
    if len(whole) <= WIDTH:
        return [whole]
    if isinstance(part, str) or not part.items:
        return [f"{whole}  # noqa: E501"]
    inner = indent + INDENT
    together = inner + ", ".join(map(flat, part.items))
    if len(together) <= WIDTH and not (part.is_literal and len(part.items) > 1):
        rest = [together]
    else:
        rest = [line for item in part.items for line in lines(item, inner, ",")]
    return [indent + part.before, *rest, f"{indent}{part.after}{end}"]


def text(part: Part, indent: str = "") -> str:
    """The lines as one text."""
    return "".join(f"{line}\n" for line in lines(part, indent))


def literal(value: Any, before: str = "") -> Part:
    """A JSON value as a literal of Python."""
    if isinstance(value, dict):
        items = [literal(each, f"{_quoted(name)}: ") for name, each in value.items()]
        return Brackets(f"{before}{{", items, "}", is_literal=True)
    if isinstance(value, list):
        return Brackets(f"{before}[", [literal(each) for each in value], "]", is_literal=True)
    return before + (_quoted(value) if isinstance(value, str) else repr(value))


def _quoted(value: str) -> str:
    """In double quotes, unless more characters would then have to be escaped."""
    if len(value) > LONG and value == value[0] * len(value):
        return f'"{value[0]}" * {len(value)}'
    if '"' in value and "'" not in value:
        return repr(value)
    return json.dumps(value, ensure_ascii=not value.isprintable())


def sentence(words: str) -> str:
    """The words as the sentence of a docstring, on one line."""
    line = " ".join(words.replace("\\", "/").replace('"', "'").split()).rstrip(".")
    most = WIDTH - len(INDENT) - len('"""."""')
    if len(line) > most:
        line = line[:most].rpartition(" ")[0]
    return f"{line[:1].upper()}{line[1:]}."


def module(docstring: str, imports: dict[str, set[str]], parts: list[str]) -> str:
    """The text of a module; its parts are functions and classes."""
    head = "\n\n".join([f'"""{docstring}"""', *_import_blocks(imports)])
    return "\n\n\n".join([head, *(each.strip("\n") for each in parts)]) + "\n"


def import_line(source: str, names: set[str]) -> Part:
    """One statement that imports names, or a whole module if there are none."""
    if not names:
        return f"import {source}"
    ordered = sorted(names, key=_rank)
    whole = f"from {source} import {', '.join(ordered)}"
    if len(whole) <= WIDTH:
        return whole
    return Brackets(f"from {source} import (", list(ordered), ")", is_literal=True)


def _import_blocks(imports: dict[str, set[str]]) -> list[str]:
    """The imports as isort has them: the standard library, packages, this project."""
    blocks: dict[int, list[str]] = {}
    for source in sorted(imports, key=lambda name: (bool(imports[name]), name)):
        text_of_one = "\n".join(lines(import_line(source, imports[source])))
        blocks.setdefault(_section(source), []).append(text_of_one)
    return ["\n".join(blocks[key]) for key in sorted(blocks)]


def _section(source: str) -> int:
    first = source.split(maxsplit=1)[0].partition(".")[0]
    return 2 if first in OURS else 1 if first in PACKAGES else 0


def _rank(name: str) -> tuple[int, str]:
    """Constants before classes, classes before functions."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


OURS = {"db", "handlers", "openapi", "tests"}
PACKAGES = {"alembic", "httpx", "pytest", "sqlalchemy", "sqlmodel"}
