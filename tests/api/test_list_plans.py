"""How PostgreSQL reads lists and changes: no page, but one by offset, reads or sorts all tasks."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from db.calendars import LIST_DATED, MOST_TASKS
from db.postgres.statement import Statement
from db.schema.models import REVISION_RANGE_BITS
from db.tasks.feed_statements import CHANGES
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import Shape, Start
from db.tasks.list_statements import MOST_SCANNED, statement_of
from db.tasks.moves import NEIGHBOURS
from db.tasks.reminder_pages import LIST_REMINDERS
from db.tasks.search_statements import LEAST, MOST, MOST_CANDIDATES
from db.tasks.statements import FIND_FAMILIES
from db.tasks.words import mark_of
from tests.support.cases import for_each
from tests.support.databases import COMPUTE_COLUMNS, administration
from tests.support.fields import (
    FILTERS,
    OF_SEARCHES,
    REFERENCED,
    SORTS,
    WRITABLE,
    all_filters,
)

pytestmark = pytest.mark.long

OWNER = UUID("0190a1b2-0000-7000-8000-00000000a11c")
MANY = 100_000
"""Tasks: far more than any page may read."""
LIMIT = 51
# A page begins and ends within a range, and each range is sorted by revision as a whole.
A_RANGE = 2**REVISION_RANGE_BITS

QUERIES = [
    ListQuery.of(filters, sort, deleted=deleted)
    for sort in (None, *SORTS)
    for deleted in (False, True)
    for filters in all_filters()
]
STARTS = (Start.FIRST, Start.AFTER, Start.BEFORE, Start.FROM, Start.UNTIL)


def has_a_plan_of_its_own(query: ListQuery) -> bool:
    """Whether no other list is read in the same way.

    All filters that no index serves are compared with each row: in any order but the default one,
    `completed` stands for them. Pairs of filters add no plans.
    """
    shape = query.shape(Start.FIRST)
    is_served = shape.ranged or shape.is_tagged or shape.sorted_filters
    is_default = shape.order == ListQuery.of({}, None, deleted=query.deleted).order
    return len(query.filters) in (0, len(FILTERS)) or (
        len(query.filters) == 1 and bool(is_default or is_served or "completed" in query.filters)
    )


# `FROM` and `UNTIL` differ from the others by an equals sign.
SHAPES: dict[Shape, ListQuery] = {
    query.shape(start): query
    for query in QUERIES
    for start in (STARTS if len(query.filters) < 1 else STARTS[:3])
    if has_a_plan_of_its_own(query)
}
# Searches for words that a hundred tasks have.
SEARCHES = [
    ListQuery.of({**filters, "q": '"x123"'}, sort, deleted=False)
    for sort in (None, *SORTS, *OF_SEARCHES)
    for filters in ({}, *([] if sort in SORTS else [{"completed": False}]))
]
SHAPES |= {
    query.shape(start)._replace(is_found=is_found): query
    for query in SEARCHES
    for start in STARTS[:3]
    for is_found in (False, True)
}
# Tags that a thousand tasks have, and half of them; lists and parents of very many.
SHAPES |= {
    query.shape(start)._replace(is_found=True): query
    for sort in SORTS
    for filters in (
        *({"tag": ["home"]}, {"tag": ["x", "home"], "completed": False}),
        *({"list_id": REFERENCED[0]}, {"parent_id": REFERENCED[0]}),
    )
    for query in [ListQuery.of(filters, sort, deleted=False)]
    for start in STARTS[:3]
    if query.shape(start).sorts_few
}
SHAPES |= {
    shape._replace(key_is_null=True): query
    for shape, query in SHAPES.items()
    if shape.has_nulls and shape.start is not Start.FIRST
}


@pytest.fixture(scope="module")
def crowded(new_database: Callable[[], str]) -> Iterator[connection]:
    """A connection to a database in which one user has very many tasks, each sixth in the trash.

    Of each enumeration, most tasks have the first value, and the others one in a thousand. Each
    second task has one of the tags that lists are filtered by, and one in a hundred another one.
    """
    url = new_database()
    rare = {name: schema["enum"] for name, schema in WRITABLE.items() if "enum" in schema}
    columns = "".join(f", {name}" for name in rare)
    values = "".join(
        f", CASE WHEN n % 200 = 0 THEN n / 200 % {len(enum)} ELSE 0 END"
        for name, enum in rare.items()
    )
    with administration(url) as execute:
        execute(f"INSERT INTO users (id, revision) VALUES ('{OWNER}', {MANY})")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, created_at, deleted_at, completed,"
            " completed_at, due_on, due_at, list_id, parent_id, position, tags,"
            f" tag_keys, completion_revision{columns})"
            f" SELECT '{OWNER}', gen_random_uuid(), 'x' || n * 7919 % 1000, n,"
            " now() - n * interval '1 second',"
            " CASE WHEN n % 6 = 0 THEN now() - n * interval '1 second' END, n % 3 > 0,"
            " CASE WHEN n % 3 > 0 THEN now() + n * interval '1 second' END,"
            " CASE WHEN n % 4 = 0 THEN date '2026-01-01' + n % 1000 END,"
            " CASE WHEN n % 4 = 1 THEN now() - n * interval '1 hour' END,"
            f" CASE n % 10 WHEN 0 THEN '{REFERENCED[0]}'::uuid"
            f" WHEN 1 THEN '{REFERENCED[1]}'::uuid END,"
            f" CASE WHEN n % 7 = 0 THEN '{REFERENCED[0]}'::uuid"
            " WHEN n % 1000 = 1 THEN gen_random_uuid() END,"
            " 'm' || lpad(to_hex(n), 13, '0'), coalesce(tags, '[]'), tags, n"
            f"{values} FROM generate_series(1, {MANY}) n, LATERAL (SELECT CASE"
            """ WHEN n % 100 = 1 THEN '["home", "x"]' WHEN n % 2 = 1 THEN '["home"]' END::jsonb"""
            ") AS of_task (tags)"
        )
        execute(COMPUTE_COLUMNS)
        execute(
            "INSERT INTO task_texts (user_id, task_id, lexemes)"
            f" SELECT user_id, id, concat('{mark_of(OWNER)}', title, ':1A')::tsvector FROM tasks"
        )
        execute(
            "INSERT INTO task_reminders (user_id, at, task_id)"
            " SELECT user_id, created_at, id FROM tasks WHERE NOT completed AND deleted_at IS NULL"
        )
        execute("VACUUM ANALYZE tasks, task_tags, task_texts, task_reminders")
    with closing(psycopg2.connect(url)) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(f"SET errand.user_id = '{OWNER}'")
            cursor.execute("SET plan_cache_mode = force_generic_plan")
        yield opened


@pytest.fixture(scope="module")
def in_the_middle(crowded: connection) -> Callable[..., Any]:
    """Some values of a task in the middle of an order; to find it takes longer than most plans."""

    @cache
    def find(names: tuple[str, ...], order: str, deleted: bool) -> tuple[Any, ...]:
        condition = "deleted_at IS NOT NULL" if deleted else "deleted_at IS NULL"
        with crowded.cursor() as cursor:
            cursor.execute(
                f"SELECT {', '.join(names)} FROM tasks WHERE {condition}"
                f" ORDER BY {order} OFFSET {MANY // 17} LIMIT 1"
            )
            [key] = cursor.fetchall()
        return tuple(key)

    return find


def key_in_the_middle(in_the_middle: Callable[..., Any], shape: Shape) -> dict[str, Any]:
    if shape.start is Start.FIRST:
        return {}
    if shape.key_is_null:
        key = {"id": str(UUID(int=2**127))}
        return {f"key_{name}": key.get(name) for name in shape.order.key}
    if shape.is_by_relevance:
        key = in_the_middle(("created_at", "id"), "created_at", shape.deleted)
        return dict(zip(("key_relevance", "key_created_at", "key_id"), (1, *key), strict=True))
    key = in_the_middle(tuple(shape.order.key), shape.order.field, shape.deleted)
    written = (
        WRITABLE[name]["enum"][value] if "enum" in WRITABLE.get(name, {}) else value
        for name, value in zip(shape.order.key, key, strict=True)
    )
    return {f"key_{name}": value for name, value in zip(shape.order.key, written, strict=True)}


def plan_of(crowded: connection, statement: Statement, values: dict[str, Any]) -> dict[str, Any]:
    """How PostgreSQL runs the statement, once for all values, and what it has read."""
    naming_the_owner, running = statement.sql({"user_id": OWNER}, prepared=True).split("; ")
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, BUFFERS, FORMAT JSON) {running}"
    with crowded.cursor() as cursor:
        cursor.execute(statement.preparation)
        cursor.execute(
            f"{naming_the_owner}; {explain}", {"user_id": OWNER, "limit": LIMIT, **values}
        )
        [[[explained]]] = cursor.fetchall()
        cursor.execute(statement.deallocation)
    plan: dict[str, Any] = explained["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def rows_of(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    rows: float = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return rows


FORWARDS = [each for each in SHAPES if each.start in (Start.FIRST, Start.AFTER)]


@for_each("shape", FORWARDS, ids=lambda shape: shape.statement_name)
def test_no_page_reads_or_sorts_more_than_a_bound(
    crowded: connection, in_the_middle: Callable[..., Any], shape: Shape
) -> None:
    assert_bounded(crowded, in_the_middle, shape)


@pytest.mark.long
@for_each("shape", SHAPES.keys() - FORWARDS, ids=lambda shape: shape.statement_name)
def test_no_page_backwards_or_from_a_task_reads_or_sorts_more_than_a_bound(
    crowded: connection, in_the_middle: Callable[..., Any], shape: Shape
) -> None:
    assert_bounded(crowded, in_the_middle, shape)


def assert_bounded(crowded: connection, in_the_middle: Callable[..., Any], shape: Shape) -> None:
    query = SHAPES[shape]
    values = {**query.parameters(OWNER), **key_in_the_middle(in_the_middle, shape)}
    ranges = ranges_of(shape, query)
    most_sorted = MOST_CANDIDATES if shape.is_found else ranges * LIMIT
    most = ranges * MOST_SCANNED if shape.filters_rows else most_sorted

    plan = plan_of(crowded, statement_of(shape), values)

    scans, of_tags, of_texts = (
        [node for node in nodes(plan) if node.get("Relation Name") == table]
        for table in ("tasks", "task_tags", "task_texts")
    )
    assert {node["Node Type"] for node in scans} == {"Index Scan"}, json.dumps(plan, indent=1)
    assert {node["Node Type"] for node in of_texts} <= {"Index Scan"}, json.dumps(plan, indent=1)
    assert {node["Node Type"] for node in of_tags} <= {"Index Only Scan", "Index Scan"}
    is_by_tag = shape.is_found and not shape.is_search and shape.finder == "tag"
    assert len(of_tags) == (shape.is_tagged or is_by_tag)
    for read in (scans, of_tags, of_texts):
        assert sum(map(rows_of, read)) <= most + 2 * A_RANGE, json.dumps(plan, indent=1)
    for sort in (node for node in nodes(plan) if node["Node Type"] == "Sort"):
        assert sum(map(rows_of, sort["Plans"])) <= most_sorted, json.dumps(plan, indent=1)


def ranges_of(shape: Shape, query: ListQuery) -> int:
    if shape.is_found:
        return 0
    if shape.is_by_relevance:
        return 1 + MOST - LEAST
    if shape.ranged:
        wanted = query.filters[shape.ranged]
        return len(wanted) if isinstance(wanted, list) else 1
    # Of a field that may be null, the tasks without a value are a range of their own.
    return 1 + shape.has_nulls


@for_each(("q", "thousandths"), [('"x123"', 1), ("x", None), ('"x1" OR "x2" -"x3"', 2)])
def test_the_index_finds_candidates_and_reads_little_else(
    crowded: connection, q: str, thousandths: int | None
) -> None:
    """A row is on a page of its own; of too many rows, few pages are read."""
    most = MANY * thousandths // 1000 if thousandths else 50
    shape = ListQuery.of({"q": q}, None, deleted=False).shape(Start.FIRST)
    values = ListQuery.of({"q": q}, None, deleted=False).parameters(OWNER)

    plan = plan_of(crowded, statement_of(shape._replace(is_found=True)), values)

    [find] = [node for node in nodes(plan) if node.get("Function Name") == "find_task_texts"]
    assert rows_of(find) <= MOST_CANDIDATES + 1
    assert find["Shared Hit Blocks"] + find["Shared Read Blocks"] < 2 * most + 100


def test_the_words_of_a_user_cost_the_searches_of_another_nothing(crowded: connection) -> None:
    query = ListQuery.of({"q": "x"}, None, deleted=False)
    shape = query.shape(Start.FIRST)._replace(is_found=True)

    plan = plan_of(crowded, statement_of(shape), query.parameters(UUID(int=1)))

    [find] = [node for node in nodes(plan) if node.get("Function Name") == "find_task_texts"]
    assert rows_of(find) == 0
    assert find["Shared Hit Blocks"] + find["Shared Read Blocks"] < 50


def test_what_is_listed_most_is_one_range_of_an_index(crowded: connection) -> None:
    query = ListQuery.of({}, None, deleted=False)
    plan = plan_of(crowded, statement_of(query.shape(Start.FIRST)), {})

    [scan] = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert scan["Index Name"] == "tasks_newest_first"
    assert rows_of(scan) == LIMIT
    assert not query.shape(Start.FIRST).filters_rows


def test_an_offset_costs_more_the_deeper_it_is(crowded: connection) -> None:
    shape = ListQuery.of({}, None, deleted=False).shape(Start.OFFSET)

    plan = plan_of(crowded, statement_of(shape), {"offset": MANY // 2})

    assert [rows_of(node) for node in nodes(plan) if node.get("Relation Name") == "tasks"] == [
        MANY // 2 + LIMIT
    ]


@for_each("began", [None, 0.25])
@for_each("after", [0.0, 0.5, 1.0])
def test_a_page_of_changes_reads_one_range_of_an_index(
    crowded: connection, after: float, began: float | None
) -> None:
    revisions = {"after": min(int(after * MANY), MANY - 1), "began": began and int(began * MANY)}

    plan = plan_of(crowded, CHANGES, revisions)

    [scan] = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert scan["Index Name"] == "tasks_by_revision_range"
    assert rows_of(scan) <= 2 * LIMIT + 2 * A_RANGE, json.dumps(plan, indent=1)


def test_a_family_is_found_without_reading_other_tasks(crowded: connection) -> None:
    values = {"task_ids": f"{{{REFERENCED[0]},{UUID(int=7)}}}", "parent_ids": f"{{{UUID(int=8)}}}"}

    plan = plan_of(crowded, FIND_FAMILIES, values)

    [scan] = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "tasks_pkey")
    assert rows_of(scan) < MANY // 5  # all that is below the first of them


def test_a_move_reads_only_the_neighbours_of_a_place(crowded: connection) -> None:
    place = {"position": f"m{MANY // 2:013x}", "neighbour_id": UUID(int=1), "task_id": UUID(int=2)}
    values = {name: str(value) for name, value in place.items()}

    plan = plan_of(crowded, NEIGHBOURS, values)

    scans = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert [scan["Index Name"] for scan in scans] == ["tasks_by_position"] * 2
    assert [rows_of(scan) for scan in scans] == [LIMIT] * 2


def test_a_calendar_reads_few_tasks_that_it_does_not_have(crowded: connection) -> None:
    plan = plan_of(crowded, LIST_DATED, {})

    [scan] = [node for node in nodes(plan) if node.get("Relation Name") == "tasks"]
    assert scan["Index Name"] == "tasks_by_due"
    assert scan["Actual Rows"] == MOST_TASKS
    assert rows_of(scan) < 2 * MOST_TASKS  # with those in the trash
    assert "Sort" not in {node["Node Type"] for node in nodes(plan)}


@pytest.mark.parametrize("until", ["infinity", "-infinity"])
@pytest.mark.parametrize("hours", [0, 3])
def test_a_page_of_reminders_reads_one_range_of_an_index(
    crowded: connection, hours: int, until: str
) -> None:
    first = datetime.now(UTC) - timedelta(seconds=MANY) + timedelta(hours=hours)
    values = {"first_at": first, "first_id": str(UUID(int=hours)), "until": until}

    plan = plan_of(crowded, LIST_REMINDERS, values)

    of_reminders, of_tasks = (
        [node for node in nodes(plan) if node.get("Relation Name") == table]
        for table in ("task_reminders", "tasks")
    )
    read = LIMIT if until == "infinity" else 0
    assert [node["Index Name"] for node in of_reminders] == ["task_reminders_pkey"]
    assert [node["Index Name"] for node in of_tasks] == ["tasks_pkey"]
    assert [rows_of(*of_reminders), rows_of(*of_tasks)] == [read, read], json.dumps(plan, indent=1)
    assert "Sort" not in {node["Node Type"] for node in nodes(plan)}


def test_no_statement_is_named_as_another() -> None:
    shapes = [query.shape(start) for query in QUERIES for start in Start]
    names = {shape.statement_name: shape for shape in shapes}

    assert len(names) == len(set(shapes))
    assert all(len(f"{name}_for_each") < 64 for name in names)
