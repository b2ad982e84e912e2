"""The fields, filters and orders of tasks, as the contract has them; none is named here."""

import operator
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations, cycle, product
from typing import Any
from uuid import UUID, uuid5

from tests.support.contract import DOCUMENT
from tests.support.searching import relevance
from tests.support.users import User

Fields = dict[str, Any]
Schema = dict[str, Any]

# Where a page begins, what list it is of, and in which order: all other parameters are filters.
OF_PAGES = {"cursor", "zone", "offset", "limit", "sort", "If-None-Match", "user_id"}


def followed(node: Schema) -> Schema:
    """A schema or parameter without its references."""
    for reference in [node, *node.get("allOf", [])]:
        if "$ref" in reference:
            target: Any = DOCUMENT
            for key in reference["$ref"].removeprefix("#/").split("/"):
                target = target[key]
            return {**followed(target), **{k: v for k, v in node.items() if k not in KEYS}}
    return node


KEYS = ("$ref", "allOf")
_LIST = DOCUMENT["paths"]["/api/{user_id}/tasks"]["get"]
_PARAMETERS = {each["name"]: each for each in map(followed, _LIST["parameters"])}

WRITABLE: dict[str, Schema] = {
    name: followed(schema)
    for name, schema in DOCUMENT["components"]["schemas"]["TaskUpdate"]["properties"].items()
}
"""The fields that clients write."""

REQUIRED: list[str] = DOCUMENT["components"]["schemas"]["TaskCreate"]["required"]

EMPTY: Fields = {"boolean": False, "array": [], "string": ""}

DEFAULTS: Fields = {
    name: None if schema.get("nullable") else schema.get("enum", [EMPTY[schema["type"]]])[0]
    for name, schema in WRITABLE.items()
    if name not in REQUIRED and name != "position"
}
"""What a new task has in fields that its client leaves out: null, nothing, or the first value."""


def defaults_at(revision: int) -> Fields:
    """The same, and what the server computes from the revision of the new task."""
    return {**DEFAULTS, "position": f"m{revision:013x}"}


EXCLUSIVE: list[str] = DOCUMENT["components"]["schemas"]["TaskUpdate"]["not"]["required"]
"""Fields of which a task has a value in one at the most."""

FILTERS: dict[str, Schema] = {
    name: followed(each["schema"]) for name, each in _PARAMETERS.items() if name not in OF_PAGES
}
"""The parameters that choose tasks by a field of their name."""

OF_SEARCHES = ("relevance", "-relevance")
SORTS: list[str] = [
    each for each in followed(_PARAMETERS["sort"]["schema"])["enum"] if each not in OF_SEARCHES
]
"""The orders of lists, searches or not."""

SEARCHES = ["milk", "-milk", 'x OR "\U0001f600\U0001f600" -"c d"']


AT_BOUNDS = {
    "date": ["0001-01-01", "2024-02-29", "9999-12-31"],
    "date-time": ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"],
    "time-zone": ["UTC", "America/Argentina/ComodRivadavia"],
}
OF_PATTERN = {
    "a0V": ["m0000000000000" + 86 * "z", "N0000000000001"],
    "FREQ=WEEKLY;BYDAY=MO": [
        "FREQ=DAILY;COUNT=9999",
        f"FREQ=YEARLY;BYDAY={','.join(80 * ['-53MO'])},MO",
    ],
    "PT30M": ["P99W", "P999DT9999H99999M999999S"],
}
"""Other values of a field whose pattern excludes most texts, by its example."""


REFERENCED = [str(UUID(int=number)) for number in (0x115, 0x215, 0x315)]
"""Ids of lists and of tasks, once `create_references` has created them."""

PLACE = ["list_id", "parent_id"]
"""A list and a parent exclude each other in tests: the tasks that they refer to are in no list."""


def create_references(user: User) -> None:
    """Create the lists and the tasks that fields refer to."""
    for each in REFERENCED:
        user.creates_list(id=each)
        user.creates("parent", id=each)


def create_series(user: User) -> None:
    """Complete each of these tasks, and two that follow it in its series."""
    for each in REFERENCED:
        task_id = each
        user.put(f"{user.tasks}/{each}", json={"due_on": "2026-01-26", "recurrence": "FREQ=DAILY"})
        for _ in range(3):
            assert user.patch(f"{user.tasks}/{task_id}/complete").json()["series_id"] == each
            task_id = str(uuid5(UUID(task_id), "successor"))


def agreeing(
    fields: Fields, *kept: str, groups: tuple[list[str], ...] = (EXCLUSIVE, PLACE)
) -> Fields:
    """The fields with null in all but one of those that exclude each other."""
    for group in groups:
        valued = [name for name in (*kept, *group) if name in group and fields.get(name)]
        fields = {**fields, **dict.fromkeys(set(valued) - set(valued[:1]))}
    if OF_RECURRENCE & {*kept} or not _can_recur(fields):
        fields = {**fields, "recurrence": None}
    if {*EXCLUSIVE} & {*kept} or not any(fields.get(name) for name in EXCLUSIVE):
        without = [each for each in fields.get("reminders") or [] if "before" not in each]
        fields = {**fields, "reminders": without}
    return fields


OF_RECURRENCE = {*EXCLUSIVE, "time_zone", "completed"}
"""Fields whose change is more than that, if the task recurs."""


def _can_recur(fields: Fields) -> bool:
    due = fields.get("due_on") or (fields.get("time_zone") and fields.get("due_at")) or ""
    return "1000" < due < "9000"


def with_due(fields: Fields) -> Fields:
    """The fields, and a due if the task recurs or has a reminder before it."""
    needs_due = fields.get("recurrence") or any(
        "before" in each for each in fields.get("reminders") or []
    )
    return {"due_on": "2024-02-29", **fields} if needs_due else fields


def values_of(schema: Schema) -> list[Any]:
    """Values of a field: all that there are, or those at its bounds and its example."""
    null = [None] if schema.get("nullable") else []
    if "enum" in schema or schema["type"] == "boolean":
        return [*schema.get("enum", [True, False]), *null]
    if schema["type"] in ("array", "object"):
        return _arrays(schema) if schema["type"] == "array" else _objects(schema)
    if schema.get("format") == "uuid":
        return [*REFERENCED, *null]
    assert schema["type"] == "string", "say what values of this type there are"
    if "format" in schema:
        return [schema["example"], *AT_BOUNDS[schema["format"]], *null]
    longest = schema["maxLength"]
    if not re.fullmatch(schema["pattern"].encode(), "\U0001f600".encode()):
        return [schema["example"], *OF_PATTERN[schema["example"]], *null]
    texts = [schema["example"], "x" * schema.get("minLength", 0), "\U0001f600" * longest]
    return [*texts, "a'b\"c\\d\n{}?%s$1", *null]


def _arrays(schema: Schema) -> list[Any]:
    each = values_of(followed(schema["items"]))
    return [schema["example"], [], each, *([value] for value in each[1:]), each[1:3]]


def _objects(schema: Schema) -> list[Any]:
    """Objects with one property: the values of each."""
    named = {name: values_of(followed(each)) for name, each in schema["properties"].items()}
    return [{name: value} for name, values in named.items() for value in values]


def choices_of(name: str) -> list[Any]:
    """Values of a filter: each one, and of those that take several also pairs and all."""
    schema = FILTERS[name]
    if name == "q":
        return SEARCHES
    if schema.get("format") == "date-time":
        earliest, latest = AT_BOUNDS["date-time"]
        return [schema["example"], latest if name.endswith("_before") else earliest]
    if schema["type"] != "array":
        return values_of(schema)
    each = values_of(followed(schema["items"]))
    return [[value] for value in each] + [list(pair) for pair in combinations(each, 2)] + [each]


def all_filters() -> list[Fields]:
    """Every choice of every filter alone, each with each other one, and all."""
    two = {name: choices_of(name)[:2] for name in FILTERS}
    values = cycle(product((0, -1), repeat=2))
    pairs = [
        {name: two[name][place] for name, place in zip(names, next(values), strict=True)}
        for names in combinations(FILTERS, 2)
    ]
    alone = [{name: choice} for name in FILTERS for choice in choices_of(name)]
    together = [{name: choices[place] for name, choices in two.items()} for place in (0, 1)]
    return [{}, *alone, *pairs, *together]


def matches(task: Fields, filters: Fields) -> bool:
    """Whether the list with these filters has the task."""
    return all(_matches(task, name, wanted) for name, wanted in filters.items())


def due_of(task: Fields) -> Any:
    """When a task is due; a day begins at midnight in UTC."""
    return task["due_at"] or (task["due_on"] and f"{task['due_on']}T00:00:00.000000Z")


def is_overdue(task: Fields, now: datetime) -> bool:
    """Whether an open task was to be done by now, in UTC."""
    passed = task["due_at"] and task["due_at"] < now.isoformat()
    ended = task["due_on"] and task["due_on"] < now.date().isoformat()
    return bool(not task["completed"] and (passed or ended))


def _matches(task: Fields, name: str, wanted: Any) -> bool:
    if name == "q":
        return relevance(wanted, task) is not None
    found, comparison = MOMENTS.get(name, (None, None))
    if found and comparison:
        value = found(task)
        return value is not None and comparison(value, wanted)
    if name in PROPERTIES:
        return PROPERTIES[name](task) is wanted
    if name == "tag":
        return {each.casefold() for each in wanted} <= {each.casefold() for each in task["tags"]}
    return bool(task[name] in wanted if isinstance(wanted, list) else task[name] == wanted)


PROPERTIES: dict[str, Callable[[Fields], bool]] = {
    "overdue": lambda task: is_overdue(task, datetime.now(UTC)),
    "has_due": lambda task: due_of(task) is not None,
    "inbox": lambda task: task["list_id"] is None,
    "top_level": lambda task: task["parent_id"] is None,
}
"""The filters by something that is true of a task, or false."""

MOMENTS: dict[str, tuple[Callable[[Fields], Any], Callable[[Any, Any], bool]]] = {
    "due_before": (due_of, operator.lt),
    "due_after": (due_of, operator.ge),
    "completed_since": (operator.itemgetter("completed_at"), operator.ge),
    "updated_since": (operator.itemgetter("updated_at"), operator.ge),
}
"""The filters by a time: what they compare, and how. All times are written alike."""


def sorted_tasks(tasks: list[Fields], sort: str) -> list[Fields]:
    """The tasks in the order: enumerations by rank, text by code points, ties by id, nulls last."""
    name = sort.removeprefix("-")
    ranks = WRITABLE.get(name, {}).get("enum")

    def key(task: Fields) -> Any:
        return (ranks.index(value(task)) if ranks else value(task), task["id"])

    value = due_of if name == "due" else operator.itemgetter(name)
    valued = [task for task in tasks if value(task) is not None]
    rest = [task for task in tasks if value(task) is None]
    descending = sort.startswith("-")
    return [
        *sorted(valued, key=key, reverse=descending),
        *sorted(rest, key=lambda task: task["id"], reverse=descending),
    ]
