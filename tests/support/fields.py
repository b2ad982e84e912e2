"""The fields, filters and orders of tasks, as the contract has them; none is named here."""

from itertools import combinations, product
from typing import Any

from tests.support.contract import DOCUMENT

Fields = dict[str, Any]
Schema = dict[str, Any]

# Where a page begins, what list it is of, and in which order: all other parameters are filters.
OF_PAGES = {"cursor", "offset", "limit", "sort", "If-None-Match", "user_id"}


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

DEFAULTS: Fields = {
    name: None if schema.get("nullable") else schema.get("enum", [False])[0]
    for name, schema in WRITABLE.items()
    if name not in REQUIRED
}
"""What a new task has in fields that its client leaves out: null, false, or the first value."""

EXCLUSIVE: list[str] = DOCUMENT["components"]["schemas"]["TaskUpdate"]["not"]["required"]
"""Fields of which a task has a value in one at the most."""

FILTERS: dict[str, Schema] = {
    name: followed(each["schema"]) for name, each in _PARAMETERS.items() if name not in OF_PAGES
}
"""The parameters that choose tasks by a field of their name."""

SORTS: list[str] = followed(_PARAMETERS["sort"]["schema"])["enum"]
"""The orders of lists."""


AT_BOUNDS = {
    "date": ["0001-01-01", "2024-02-29", "9999-12-31"],
    "date-time": ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"],
}


def agreeing(fields: Fields, *kept: str) -> Fields:
    """The fields with null in all but one of those that exclude each other."""
    valued = [name for name in (*kept, *EXCLUSIVE) if name in EXCLUSIVE and fields.get(name)]
    return {**fields, **dict.fromkeys(set(valued) - set(valued[:1]))}


def values_of(schema: Schema) -> list[Any]:
    """Values of a field: all that there are, or those at its bounds and its example."""
    null = [None] if schema.get("nullable") else []
    if "enum" in schema:
        return [*schema["enum"], *null]
    if schema["type"] == "boolean":
        return [True, False]
    assert schema["type"] == "string", "say what values of this type there are"
    if "format" in schema:
        return [schema["example"], *AT_BOUNDS[schema["format"]], *null]
    longest = schema["maxLength"]
    texts = [schema["example"], "x" * schema.get("minLength", 0), "\U0001f600" * longest]
    return [*texts, "a'b\"c\\d\n{}?%s$1", *null]


def choices_of(name: str) -> list[Any]:
    """Values of a filter: each one, and of those that take several also pairs and all."""
    schema = FILTERS[name]
    if schema["type"] != "array":
        return values_of(schema)
    each = values_of(followed(schema["items"]))
    return [[value] for value in each] + [list(pair) for pair in combinations(each, 2)] + [each]


def all_filters() -> list[Fields]:
    """Every choice of every filter, alone and together with those of the others."""
    choices = [[None, *choices_of(name)] for name in FILTERS]
    chosen = (dict(zip(FILTERS, each, strict=True)) for each in product(*choices))
    return [{name: value for name, value in each.items() if value is not None} for each in chosen]


def matches(task: Fields, filters: Fields) -> bool:
    """Whether the list with these filters has the task."""
    return all(
        task[name] in wanted if isinstance(wanted, list) else task[name] == wanted
        for name, wanted in filters.items()
    )


def sorted_tasks(tasks: list[Fields], sort: str) -> list[Fields]:
    """The tasks in the order: enumerations by rank, text by code points, ties by id, nulls last."""
    name = sort.removeprefix("-")
    ranks = WRITABLE.get(name, {}).get("enum")

    def key(task: Fields) -> Any:
        return (ranks.index(task[name]) if ranks else task[name], task["id"])

    valued = [task for task in tasks if task[name] is not None]
    rest = [task for task in tasks if task[name] is None]
    descending = sort.startswith("-")
    return [
        *sorted(valued, key=key, reverse=descending),
        *sorted(rest, key=lambda task: task["id"], reverse=descending),
    ]
