"""The fields in which most tasks have the default: a page has all of them in one array.

Its elements are null for tasks that have every default: so a page of plain tasks costs hardly more
than if there were no such fields.
"""

from typing import Any

from sqlalchemy import JSON, ColumnElement, FromClause, Integer, case, func, literal_column, or_

from db.schema.clauses import ACTIVE_COLUMNS, as_written, tasks
from db.schema.fields import DEFAULTS

USUAL = ("description", "completed", "position")
RARE = {
    name: DEFAULTS.get(name)
    for name in ACTIVE_COLUMNS
    if name not in USUAL and (name in DEFAULTS or name == "series_id")
}
"""These fields, and what a plain task has there."""
_PLAIN = [*RARE.values()]
_NONE = literal_column("0", Integer)


def rare_array(page: FromClause) -> ColumnElement[Any]:
    """The values of each task that differs from a plain one."""
    values = func.json_build_array(*(as_written(page.c[name]) for name in RARE), type_=JSON)
    return func.array_agg(case((_is_not_plain(page), values)))


def _is_not_plain(page: FromClause) -> ColumnElement[bool]:
    """Whether the task has anything but the default in one of the fields."""
    nullable, others = [], []
    for name in RARE:
        stored: Any = tasks.c[name]
        column = page.c[name]
        if stored.nullable:
            nullable.append(column)
        else:
            others.append(column != literal_column(str(stored.server_default.arg), stored.type))
    return or_(func.num_nonnulls(*nullable) > _NONE, *others)


def rare_columns(rows: list[list[Any] | None]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The array by fields; and the fields in which all tasks have the default, with that."""
    if rows.count(None) == len(rows):
        return {}, RARE
    by_field = zip(*[row or _PLAIN for row in rows], strict=True)
    columns = {name: [*values] for name, values in zip(RARE, by_field, strict=True)}
    plain = {
        name: RARE[name]
        for name, values in columns.items()
        if values.count(RARE[name]) == len(values)
    }
    return {name: values for name, values in columns.items() if name not in plain}, plain
