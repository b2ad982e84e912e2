"""Every constraint of the contract on requests is obeyed once and violated once."""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple
from urllib.parse import quote

from openapi.operations.schemas import ANNOTATIONS
from tests.support.cases import for_each
from tests.support.contract import DOCUMENT
from tests.support.fields import OF_SEARCHES
from tests.support.operations import OPERATIONS, SCHEMAS, Operation, ask
from tests.support.responses import assert_faults
from tests.support.users import Task, User

Values = list[Any]

UUID = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
PLACE = {"list_id", "parent_id"}
OF_TAGS = SCHEMAS["EntityTags"]["pattern"]
OF_KEYS = DOCUMENT["components"]["parameters"]["IdempotencyKey"]["schema"]["pattern"]
OF_RULES = SCHEMAS["Recurrence"]["pattern"]
OF_ZONES = DOCUMENT["components"]["parameters"]["Zone"]["schema"]["pattern"]
OF_FILES = "^[A-Za-z0-9_-]{43}\\.ics$"
OF_DURATIONS = SCHEMAS["Reminder"]["properties"]["before"]["pattern"]
OF_DATES, OF_TIMES, OF_POSITIONS = (
    SCHEMAS[name]["pattern"] for name in ("DueOn", "DueAt", "Position")
)
OF_ANOTHER_TYPE = {"string": 5, "integer": "five", "boolean": "yes", "object": [], "array": {}}
OUTSIDE_FORMAT = {
    "uuid": "x" * 36,
    "int32": 2**31,
    "int64": 2**63,
    "date": "2026-02-29",
    "date-time": "2026-02-29T09:26:53Z",
    "time-zone": "Europe/Atlantis",
}
# To break a pattern is beyond a machine: the contract's patterns stand here one by one.
OUTSIDE_PATTERN = {
    "^[^\\x00]*$": "a\0b",
    "^[A-Za-z0-9_-]+$": "a.b",
    "^[!-~]+$": "a b",
    OF_TAGS: "*, *",
    OF_KEYS: "a b",
    OF_ZONES: "a b",
    OF_RULES: "FREQ=daily",
    OF_DURATIONS: "P1Y",
    OF_FILES: 43 * "x" + "-ics",
    OF_DATES: "0000-01-31",
    OF_TIMES: "0000-01-31T09:26:53Z",
    OF_POSITIONS: "a00",
}
# Made up to the letter of their schema, they are refused for what they are: see test_cursors.
TOKENS = {"since", "cursor", "Last-Event-ID"}
RETRY = re.compile(rb"retry: \d+\n")
# So is to obey one that does not take any text.
WITHIN_PATTERN = {
    OF_TAGS: '"x"',
    OF_KEYS: '"x"',
    OF_ZONES: "UTC",
    OF_RULES: "FREQ=WEEKLY",
    OF_DURATIONS: "P1W",
    OF_FILES: 43 * "x" + ".ics",
    OF_DATES: "2026-01-31",
    OF_TIMES: "2026-01-31T09:26:53Z",
    OF_POSITIONS: "a0",
}
SHORTEST = {
    OF_TAGS: "*",
    OF_KEYS: "x",
    OF_ZONES: "NZ",
    OF_RULES: "FREQ=DAILY",
    OF_DURATIONS: "P1D",
    OF_TIMES: "2026-01-31T09:26:53Z",
}
LONGEST = {
    OF_FILES: 43 * "x" + ".ics",
    OF_ZONES: "America/Argentina/ComodRivadavia",
    OF_RULES: f"FREQ=YEARLY;BYDAY={80 * '-53MO,'}MO",
    OF_DURATIONS: "P999DT9999H99999M999999S",
    OF_TIMES: "2026-01-31T09:26:53.589793238-02:00",
    OF_POSITIONS: "a0" + 98 * "x",
}

# What a valid condition may come to, beside success.
UNFULFILLED = {304, 412}

# Values that break a keyword of a schema, and values that just about do not.
BREAKING: dict[str, Callable[[dict[str, Any]], Values]] = {
    "type": lambda schema: [OF_ANOTHER_TYPE[schema["type"]]],
    "format": lambda schema: [OUTSIDE_FORMAT[schema["format"]]],
    "pattern": lambda schema: [OUTSIDE_PATTERN[schema["pattern"]]],
    "minLength": lambda schema: [usual(schema)[: schema["minLength"] - 1]],
    "maxLength": lambda schema: [longest(schema) + "x"],
    "minimum": lambda schema: [schema["minimum"] - 1],
    "maximum": lambda schema: [schema["maximum"] + 1],
    "enum": lambda schema: [f"no {value}" for value in schema["enum"]],
    "minItems": lambda schema: [usual(schema)[: schema["minItems"] - 1]],
    "maxItems": lambda schema: [several(schema, schema["maxItems"] + 1)],
    "uniqueItems": lambda schema: [usual(schema) * 2],
    "items": lambda schema: [[value] for value in values_that_break(schema["items"])],
}
OBEYING: dict[str, Callable[[dict[str, Any]], Values]] = {
    "type": lambda schema: [usual(schema)],
    "format": lambda schema: [usual(schema)],
    "pattern": lambda schema: [usual(schema)],
    "minLength": lambda schema: [
        SHORTEST.get(schema.get("pattern"), usual(schema)[: schema["minLength"]])
    ],
    "maxLength": lambda schema: [longest(schema)],
    "minimum": lambda schema: [schema["minimum"]],
    "maximum": lambda schema: [schema["maximum"]],
    "enum": lambda schema: schema["enum"],
    "nullable": lambda _: [None],
    "minItems": lambda schema: [usual(schema) * schema["minItems"]],
    "maxItems": lambda schema: [several(schema, schema["maxItems"])],
    "uniqueItems": lambda schema: [several(schema, 2)],
    "items": lambda schema: [usual(schema)],
}
# The fault is in one of the values of the array.
PLACES_IN_ARRAYS = {"items": "/0", "uniqueItems": "/1"}
# It permits; only its absence could be broken, which the others' cases see to.
PERMISSIONS = {"nullable"}
OF_OBJECTS = {
    *("type", "properties", "required", "additionalProperties", "not"),
    *("minProperties", "maxProperties"),
}
# Every text of a path or a query is a string; any number of values, even none, are an array.
ALWAYS_OBEYED = {
    ("parameter", "string", "type"),
    ("parameter", "array", "type"),
    ("parameter", "array", "minItems"),
}


class Case(NamedTuple):
    """A request, and the location of its only fault, if it has one."""

    operation: Operation
    keyword: str
    at_fault: str | None
    ids: dict[str, Any] | None = None
    headers: dict[str, str] | None = None
    query: str = ""
    body: Any = None

    def __str__(self) -> str:
        outcome = "obeyed" if self.at_fault is None else "broken"
        return f"{self.operation.id}-{self.keyword}-{outcome}"


def usual(schema: dict[str, Any]) -> Any:
    """A value of that schema."""
    if "oneOf" in schema:
        return usual(schema["oneOf"][0])
    if "enum" in schema:
        return schema["enum"][0]
    return USUAL[schema["type"]](schema)


def several(schema: dict[str, Any], count: int) -> Values:
    """So many values of an array, each another one if they must be unique."""
    if not schema.get("uniqueItems"):
        return list(usual(schema) * count)
    if schema["items"]["type"] == "object":
        return [{"at": f"2026-01-31T09:{number:02}:53Z"} for number in range(count)]
    return [f"{usual(schema['items'])}{number}" for number in range(count)]


def text(schema: dict[str, Any]) -> str:
    if schema.get("pattern") in WITHIN_PATTERN:
        return WITHIN_PATTERN[schema["pattern"]]
    return UUID if schema.get("format") == "uuid" else "x" * max(1, schema.get("minLength", 0))


def least(schema: dict[str, Any]) -> dict[str, Any]:
    required = schema.get("required", [])
    # An object with one property of several: its first.
    names = required or list(schema["properties"])[: "maxProperties" in schema]
    return {name: usual(schema["properties"][name]) for name in names}


USUAL: dict[str, Callable[[dict[str, Any]], Any]] = {
    "string": text,
    "integer": lambda schema: schema.get("minimum", 0),
    "boolean": lambda _: True,
    "array": lambda schema: [usual(schema["items"])],
    "object": least,
}


def longest(schema: dict[str, Any]) -> str:
    if schema.get("pattern") in LONGEST:
        return LONGEST[schema["pattern"]]
    usual_text = text(schema)
    return usual_text[:-1].ljust(schema["maxLength"] - 1, "x") + usual_text[-1]


def constraints(schema: dict[str, Any]) -> set[str]:
    return {key for key in schema.keys() - ANNOTATIONS if not key.startswith("x-")}


def verdicts(kind: str, schema: dict[str, Any]) -> Iterator[tuple[str, bool, Any]]:
    """Every keyword of a schema, obeyed and broken, with values that do so."""
    for keyword in sorted(constraints(schema)):
        for value in OBEYING[keyword](schema):
            yield keyword, True, value
        if keyword in PERMISSIONS or (kind, schema["type"], keyword) in ALWAYS_OBEYED:
            continue
        for value in BREAKING[keyword](schema):
            yield keyword, False, value


def values_that_break(schema: dict[str, Any]) -> Values:
    """Values that break any keyword; the kinds of objects of an array have cases of their own."""
    if "oneOf" in schema or schema["type"] == "object":
        return []
    broken = (BREAKING[keyword](schema) for keyword in sorted(constraints(schema)))
    return [value for values in broken for value in values]


def as_query(name: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    needed = "&q=x" if name == "sort" and value in OF_SEARCHES else ""
    texts = (f"{name}={quote(as_text(each), safe=':')}" for each in values)
    return "?" + "&".join(texts) + needed


def as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def of_parameters(operation: Operation) -> Iterator[Case]:
    for parameter in operation.parameters:
        name, schema = parameter["name"], parameter["schema"]
        for keyword, obeyed, value in verdicts("parameter", schema):
            # Any text of a query is a string, those within an array, too.
            is_a_text = keyword == "items" and any(type(each) is int for each in value)
            if (obeyed and name in TOKENS) or is_a_text:
                continue
            at_fault = None if obeyed else name
            given: dict[str, dict[str, Any]] = {
                "query": {"query": as_query(name, value)},
                "header": {"headers": {name: value}},
                # what is obeyed in the path is that of a task which is there
                "path": {"ids": {} if obeyed else {name: value}},
            }
            yield Case(operation, f"{name}.{keyword}", at_fault, **given[parameter["in"]])


def of_fields(operation: Operation, schema: dict[str, Any]) -> Iterator[Case]:
    required = {} if "maxProperties" in schema else least(schema)
    for name, field in schema["properties"].items():
        for keyword, obeyed, value in verdicts("field", field):
            at_fault = None if obeyed else f"/{name}{PLACES_IN_ARRAYS.get(keyword, '')}"
            yield Case(operation, f"{name}.{keyword}", at_fault, body={**required, name: value})


def of_objects(operation: Operation, schema: dict[str, Any]) -> Iterator[Case]:
    """The keywords of the body itself."""
    assert constraints(schema) <= OF_OBJECTS
    every = {name: usual(field) for name, field in schema["properties"].items()}
    *_, excluded = schema.get("not", {}).get("required", [None])
    most = schema.get("maxProperties", len(every))
    whole = dict([each for each in every.items() if each[0] != excluded][:most])
    required = schema.get("required", [])
    yield Case(operation, "type", "", body=OF_ANOTHER_TYPE["object"])
    yield Case(operation, "additionalProperties", None, body=whole)
    known = whole if most == len(every) else {}
    yield Case(operation, "additionalProperties", "/unknown", body={**known, "unknown": 1})
    if most < len(every):
        yield Case(operation, "maxProperties", "", body=every)
    if excluded:
        yield Case(operation, "not", f"/{excluded}", body=every)
    for name in required:
        without = {key: value for key, value in whole.items() if key != name}
        yield Case(operation, f"required {name}", f"/{name}", body=without)
    if required:
        yield Case(operation, "required", None, body={name: whole[name] for name in required})
    if least := schema.get("minProperties"):
        some = list(whole.items())
        yield Case(operation, "minProperties", None, body=dict(some[:least]))
        yield Case(operation, "minProperties", "", body=dict(some[: least - 1]))


def of_choices(operation: Operation, schema: dict[str, Any]) -> Iterator[Case]:
    """Each kind of object that an array of the body may hold, as the only one in it."""
    also = {"atomic": False} if "atomic" in schema["properties"] else least(schema)
    for name, field in schema["properties"].items():
        items = field.get("items", {})
        for choice in items.get("oneOf", [items] if "properties" in items else []):
            kind = choice["properties"].get("op", {"enum": [name]})["enum"][0]
            for case in (*of_fields(operation, choice), *of_objects(operation, choice)):
                yield case._replace(
                    keyword=f"{kind}.{case.keyword}",
                    at_fault=None if case.at_fault is None else f"/{name}/0{case.at_fault}",
                    body={**also, name: [case.body]},
                )


def cases() -> Iterator[Case]:
    for operation in OPERATIONS.values():
        yield from of_parameters(operation)
        if operation.body and operation.id != "import_tasks":  # that is a file of others
            yield from of_fields(operation, operation.body["schema"])
            yield from of_objects(operation, operation.body["schema"])
            yield from of_choices(operation, operation.body["schema"])


def with_references(case: Case, user: User) -> Any:
    """The body, with the ids of a list and a parent that exist, and a due if it may need one."""
    if not isinstance(case.body, dict):
        return case.body
    for fields in (case.body, *case.body.get("operations", [])):
        if isinstance(fields, dict) and UUID in (fields.get("list_id"), fields.get("parent_id")):
            place = {"list_id": user.creates_list().document["id"]} if "list_id" in fields else {}
            parent = {"parent_id": user.creates(**place).document["id"]}
            fields.update((name, (place | parent)[name]) for name in PLACE & fields.keys())
        if isinstance(fields, dict) and (fields.get("recurrence") or fields.get("reminders")):
            fields.setdefault("due_on", "2026-01-31")
    for side in {"before", "after"} & case.body.keys():
        if case.body[side] == UUID:
            same = {name: case.body[name] for name in {"list_id"} & case.body.keys()}
            case.body[side] = user.creates(**same).document["id"]
    return case.body


@for_each("case", list(cases()), ids=str)
def test_constraint_is_enforced_exactly(case: Case, alice: User, task: Task) -> None:
    changes = case.at_fault is None and case.operation.method != "GET"
    with User(str(alice.base_url)) if changes else nullcontext(alice) as user:
        about = user.creates() if changes else task
        ids = {"user_id": user.id, "task_id": about.document["id"], **(case.ids or {})}
        body = {} if case.body is None else {"json": with_references(case, user)}

        response = ask(
            user, case.operation, ids=ids, headers=case.headers, query=case.query, **body
        )

    if case.at_fault is None:
        fulfilled = response.status_code == case.operation.success
        assert fulfilled or (case.headers and response.status_code in UNFULFILLED), response.text
    else:
        assert_faults(response, case.at_fault)


@for_each("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_default_equals_the_absent_value(operation: Operation, alice: User, task: Task) -> None:
    ids = {"user_id": alice.id, "task_id": task.document["id"]}
    defaults = {
        parameter["name"]: parameter["schema"]["default"]
        for parameter in operation.parameters
        if "default" in parameter["schema"]
    }
    fields = operation.body["schema"]["properties"] if operation.body else {}
    of_body = {name: field["default"] for name, field in fields.items() if "default" in field}
    if defaults:
        query = "?" + "&".join(f"{name}={as_text(value)}" for name, value in defaults.items())
        if operation.id == "import_tasks":  # the second time it changes nothing
            ask(alice, operation, ids=ids)
        asked = ask(alice, operation, ids=ids, query=query)
        contents = [each.content for each in (ask(alice, operation, ids=ids), asked)]
        assert len({RETRY.sub(b"", each) for each in contents}) == 1
        assert ask(alice, operation, ids=ids).headers.get("link") == asked.headers.get("link")
    if of_body:
        sent = {key: value for key, value in operation.example().items() if key not in of_body}
        created = ask(alice, operation, ids=ids, json=sent).json()
        if operation.id != "batch_tasks":  # which says nothing of it: see test_batches
            assert {name: created[name] for name in of_body} == of_body
