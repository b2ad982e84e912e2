"""Errand's own exports: JSON Lines and CSV."""

from typing import Any
from uuid import UUID

from db.errors import LineFault
from db.transfers.digests import digest_with
from db.transfers.lines import Incoming, Line, Lines
from handlers.formats.ids import Numbering

NO_BEGIN = "The first line of an export has the kind `export`."
NO_END = "The file is not complete: the last line of an export has the kind `end`."
OTHER_END = "The file is not complete, or was changed: the last line says {}, but there are {}."
OF_ROWS = {"user_id", "revision", "updated_at"}
"""Columns that are not imported: the write of a task makes them."""


def from_json_lines(lines: Lines) -> Lines:
    """Everything that was exported, with what clients do not see of it."""
    end: dict[str, Any] = {"kind": "end", "lists": 0, "tasks": 0, "digest": 0}
    number, is_first, last, has_faults = 1, True, {}, False
    for each in lines:
        if isinstance(each, LineFault):
            has_faults, is_first = True, False
            yield each
            continue
        number, last = each.number or 1, each.value
        if is_first != (last["kind"] == "export"):
            yield LineFault(NO_BEGIN, number)
            return
        is_first = False
        if last["kind"] not in ("export", "end"):
            yield each._replace(value=_incoming(last, end))
    if has_faults:
        return
    if last.get("kind") != "end":
        yield LineFault(NO_END, number)
    elif last != end:
        yield LineFault(OTHER_END.format(_counts(last), _counts(end)), number)


def _incoming(line: dict[str, Any], end: dict[str, Any]) -> Incoming:
    kind = line["kind"].removeprefix("deleted_")
    found = line[kind]
    end[f"{kind}s"] += 1
    if "deleted_at" not in found:
        end["digest"] = digest_with(end["digest"], found["revision"])
    private = {name: each for name, each in line.items() if name not in ("kind", kind)}
    return Incoming(kind, {**found, **private})


def _counts(end: dict[str, Any]) -> str:
    return f"{end['lists']} lists and {end['tasks']} tasks with the digest {end['digest']}"


def from_rows(lines: Lines, user_id: UUID) -> Lines:
    """Tasks, and the lists that they name."""
    numbering = Numbering(user_id)
    for each in lines:
        if isinstance(each, LineFault):
            yield each
            continue
        row = {name: value for name, value in each.value.items() if name not in OF_ROWS}
        title = row.pop("list", None)
        if row.get("id") is None:
            row["id"] = numbering.id_of(title, row.get("parent_id"), row["title"])
        yield Line(each.number, Incoming("task", row, title))
