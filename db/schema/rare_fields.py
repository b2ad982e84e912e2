"""The fields in which most tasks have the default, as one column of the table.

`rare_fields` has those that have another value, as clients read them, in a JSON object; it is null
for a plain task. So what a read costs does not grow with the number of fields: PostgreSQL prepares
each expression of a statement anew whenever it runs.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Integer,
    case,
    func,
    literal_column,
    or_,
    type_coerce,
)

from db.schema.clauses import in_json, tasks
from db.schema.fields import RARE_FIELDS, Objects, Ranked, Texts

_NONE = literal_column("0", Integer)
_NO_TEXTS = literal_column("'[]'::jsonb", Texts)

Values = Mapping[str, ColumnElement[Any]]


def rare_of(values: Values) -> ColumnElement[Any]:
    """The column `rare_fields` of a task with these values; one that is absent is the default."""
    values = {name: values[name] for name in RARE_FIELDS if name in values}
    fields = [
        part
        for name, value in values.items()
        for part in (literal_column(f"'{name}'"), _unless_default(name, value))
    ]
    written = func.json_strip_nulls(func.json_build_object(*fields), type_=JSON)
    return case((_is_not_plain(values), written))


def _unless_default(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """The value as clients read it; null if it is the default."""
    kind = tasks.c[name].type
    if isinstance(kind, Objects):
        return value
    if isinstance(kind, Ranked):
        value = func.nullif(value, _NONE)
    if isinstance(kind, Texts):
        value = func.nullif(value, _NO_TEXTS)
    return in_json(type_coerce(value, kind))


def _is_not_plain(values: Values) -> ColumnElement[bool]:
    """Whether the task has anything but the default in one of the fields."""
    nullable, others = [], []
    for name, value in values.items():
        column: Any = tasks.c[name]
        if column.nullable:
            nullable.append(value)
        else:
            default = literal_column(str(column.server_default.arg), column.type)
            others.append(value != default)
    return or_(func.num_nonnulls(*nullable) > _NONE, *others)


def with_rare(task: dict[str, Any]) -> dict[str, Any]:
    """The task with a field for each of its rare ones."""
    rare = task.pop("rare_fields")
    return {**task, **RARE_FIELDS, **(rare or {})}


def rare_columns(
    rows: list[dict[str, Any] | None] | None,
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The column of many tasks by fields; and the fields in which all have the default, with that.

    It is None if it is null in all of them.
    """
    if rows is None:
        return {}, RARE_FIELDS.copy()
    found = {name for row in rows if row for name in row}
    columns = {
        name: [default if row is None else row.get(name, default) for row in rows]
        for name, default in RARE_FIELDS.items()
        if name in found
    }
    return columns, {name: each for name, each in RARE_FIELDS.items() if name not in found}
