"""The statements that connections prepare are all that there are."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import db
from db.catalogue import CATALOGUE
from db.citus.database import HOLD
from db.citus.shards import PLACEMENTS
from db.postgres.statement import Statement
from db.schema.fields import RARE_FIELDS

OF_CLUSTERS = {PLACEMENTS.name, HOLD.name}
"""Those that only connections to a cluster run: they prepare statements on demand."""


def statements_of_modules() -> Iterator[Statement]:
    """Every statement that stands in a module of the data layer by itself."""
    for module in pkgutil.walk_packages(db.__path__, "db."):
        if not module.name.startswith("db.migrations"):
            for value in vars(import_module(module.name)).values():
                if isinstance(value, Statement):
                    yield value


def test_every_statement_is_in_the_catalogue() -> None:
    assert {each.name for each in statements_of_modules()} <= {
        *(each.name for each in CATALOGUE),
        *OF_CLUSTERS,
    }


def test_every_name_is_the_name_of_one_statement() -> None:
    names = [each.name for each in CATALOGUE]

    assert len(names) == len(set(names))


# The columns that a statement sets.
WRITES_OF_TASKS = re.compile(
    r"UPDATE tasks SET .*?(?= FROM | WHERE )|INSERT INTO tasks \(.*?\)", re.DOTALL
)
COLUMN = re.compile(r"\b\w+\b(?==|,|\))")


def columns_of_writes() -> list[set[str]]:
    """What each write of tasks sets."""
    return [
        {*COLUMN.findall(written)}
        for statement in CATALOGUE
        for written in WRITES_OF_TASKS.findall(statement.text)
    ]


def test_each_write_of_a_rare_field_writes_all_of_them_as_one() -> None:
    of_rare_fields = [names for names in columns_of_writes() if RARE_FIELDS.keys() & names]

    assert len(of_rare_fields) >= 6
    assert all("rare_fields" in names for names in of_rare_fields)


def test_each_write_of_a_revision_of_a_task_writes_its_range() -> None:
    writes = columns_of_writes()

    of_revisions = [names for names in writes if "revision" in names]
    of_completions = [names for names in writes if "completion_revision" in names]
    assert len(of_revisions) >= 12
    assert len(of_completions) >= 8
    assert all("revision_range" in names for names in of_revisions)
    assert all("completion_range" in names for names in of_completions)
