"""The contract is valid and complete, has true examples, and agrees with models and tables."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import orjson
import psycopg2
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from sqlalchemy import DefaultClause, Table
from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from db.schema import lists, models, reminders
from openapi.contract.document import CONTRACT
from tests.support import operations
from tests.support.cases import for_each
from tests.support.contract import as_json_schema
from tests.support.databases import as_owner
from tests.support.fields import DEFAULTS, WRITABLE
from tests.support.users import User

POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


class WithoutRepeats(yaml.CSafeLoader):
    """YAML whose mappings name each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        repeated = {key for key in keys if keys.count(key) > 1}
        assert not repeated, f"{repeated} in line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


CONTENT: dict[str, Any] = yaml.load(CONTRACT.read_bytes(), WithoutRepeats)
SCHEMAS: dict[str, Any] = CONTENT["components"]["schemas"]


def followed(node: Any) -> Any:
    """The node with every reference replaced by its target."""
    if isinstance(node, list):
        return [followed(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" not in node:
        return {key: followed(each) for key, each in node.items()}
    return target_of(node["$ref"])


@cache
def target_of(reference: str) -> Any:
    """What a reference names, with every reference in it replaced, too."""
    target = CONTENT
    for key in reference.removeprefix("#/").split("/"):
        target = target[key]
    return followed(target)


class Operation(NamedTuple):
    """One operation, with all references followed."""

    path: str
    method: str
    described: dict[str, Any]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = self.described.get("parameters", [])
        return parameters

    @property
    def takes_a_body(self) -> bool:
        return "requestBody" in self.described

    @property
    def success(self) -> int:
        return int(min(self.described["responses"]))


OPERATIONS = {
    described["operationId"]: Operation(path, method, described)
    for path, item in followed(CONTENT["paths"]).items()
    for method, described in item.items()
    if method in METHODS
}

every_operation = for_each("operation", OPERATIONS.values(), ids=OPERATIONS)


def places(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of the contract, with the keys that lead to it."""
    children = node.items() if isinstance(node, dict) else enumerate(node)
    if isinstance(node, dict):
        yield where, node
    for key, child in children:
        if isinstance(child, dict | list) and key not in ("example", "examples", "value"):
            yield from places(child, f"{where}/{key}")


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every example: its location, its schema, and its value."""
    for where, node in places(CONTENT):
        whole = followed(node)
        schema = whole.get("schema", whole)
        if "example" in whole:
            yield where, schema, whole["example"]
        for name, example in whole.get("examples", {}).items() if "schema" in whole else ():
            yield f"{where}/{name}", schema, example["value"]


EXAMPLES = list(examples())
TYPED = {
    where: node
    for where, node in places(CONTENT)
    if isinstance(node.get("type"), str) and "securitySchemes" not in where
}
"""Every schema with a type, by its location."""
REQUESTS = {
    f"{operation_id}-{name}": (operation, example)
    for operation_id, operation in OPERATIONS.items()
    for name, example in (
        operation.described["requestBody"]["content"]["application/json"]["examples"].items()
        if operation.takes_a_body
        else [("without_body", {"value": None})]
    )
}


def test_contract_is_valid_openapi() -> None:
    validate(CONTENT)


@every_operation
def test_every_operation_is_described(operation: Operation) -> None:
    described = operation.described

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", described["operationId"])
    assert described["summary"]
    assert described["description"]
    assert set(described["tags"]) <= {tag["name"] for tag in CONTENT["tags"]}
    assert all(parameter["description"] for parameter in described.get("parameters", ()))


@every_operation
def test_contract_declares_every_status_that_can_happen_and_no_other(
    operation: Operation,
) -> None:
    responses = operation.described["responses"]
    answers_json = "content" in responses[str(operation.success)]
    conditions = {each["name"] for each in operation.parameters if each["in"] == "header"}
    creates = operation.success == 201
    is_batch = operation.path.endswith("/batch")

    assert set(responses) == {
        str(operation.success),
        *("400", "422", "500"),
        *(["401"] if operation.path.startswith("/api/") else []),
        *(["429"] if not operation.path.startswith("/health/") else []),
        *(["403"] if "{user_id}" in operation.path else []),
        *(["404", "412", "428"] if is_batch else []),
        *(["404"] if re.search("{(task|list)_id}|/{file}", operation.path) else []),
        *(["404"] if operation.described["operationId"] == "get_calendar" else []),
        *(["406"] if answers_json else []),
        *(["409"] if "Idempotency-Key" in conditions else []),
        *(["410"] if "/changes" in operation.path else []),
        *(["304"] if "If-None-Match" in conditions and not creates else []),
        *(["412", "428"] if "If-Match" in conditions else []),
        *(["409", "412"] if "If-None-Match" in conditions and creates else []),
        *(["413", "415"] if operation.takes_a_body else []),
        *(["503"] if operation.path != "/health/live" else []),
    }


@every_operation
def test_every_error_is_a_problem_document(operation: Operation) -> None:
    for status, response in operation.described["responses"].items():
        assert response["description"]
        if int(status) >= 400:
            assert response["content"].keys() == {"application/problem+json"}
            content = response["content"]["application/problem+json"]
            assert content["schema"] == followed(SCHEMAS["Problem"])


@for_each(
    ("schema", "example"),
    [(schema, example) for _, schema, example in EXAMPLES],
    ids=[where for where, *_ in EXAMPLES],
)
def test_every_example_is_valid(schema: dict[str, Any], example: Any) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER

    Draft202012Validator(as_json_schema(schema), format_checker=checker).validate(example)


@for_each(("operation", "example"), REQUESTS.values(), ids=REQUESTS)
def test_example_requests_do_what_they_say(
    alice: User, operation: Operation, example: dict[str, Any]
) -> None:
    ids = {
        "task_id": alice.creates().document["id"],
        "list_id": alice.creates_list().document["id"],
        "file": alice.creates_calendar().rpartition("/")[2],
    }
    path = operation.path.format(user_id=alice.id, **ids)
    query = operations.OPERATIONS[operation.described["operationId"]].required_query
    body = example["value"]

    response = alice.request(operation.method, path + query, json=body)

    assert response.status_code == operation.success < 300
    if operation.path.endswith("/batch"):
        statuses = [each["status"] for each in response.json()["results"]]
        assert max(statuses) < 300 or body.get("atomic") is False
    elif body is not None and operation.path.endswith("/import"):
        assert response.json()["tasks"]["created"] == 2
    elif body is not None:
        assert {name: response.json()[name] for name in body} == body


@for_each("where", [each for each in TYPED if "/not" not in each])
def test_every_schema_is_bounded(where: str) -> None:
    schema = TYPED[where]

    match schema["type"]:
        case "string":
            assert schema.keys() & {"maxLength", "enum"}
        case "array":
            assert schema.keys() >= {"items", "maxItems"}
        case "integer":
            assert schema.keys() >= {"format", "minimum", "maximum"}
        case "object":
            # A file of Google Takeout has more fields than are imported.
            assert schema["additionalProperties"] is False or "/GoogleTask" in where
        case other:
            assert other == "boolean"


def test_no_field_has_a_default_that_generators_would_require() -> None:
    fields = {where: each for where, each in TYPED.items() if "/schemas/" in where}

    assert fields
    assert not [where for where, each in fields.items() if "default" in each]


class Column(NamedTuple):
    """What contract, models and database must agree on."""

    kind: str
    longest: int | None
    nullable: bool


KINDS = {
    ("string", "uuid"): "uuid",
    ("string", "date"): "date",
    ("string", "date-time"): "timestamp with time zone",
    ("string", "time-zone"): "character varying",
    ("string", None): "character varying",
    ("boolean", None): "boolean",
    ("integer", None): "bigint",
    ("integer", "int64"): "bigint",
    ("array", None): "jsonb",
}
# An array of objects is null if there are none.
OF_OBJECTS = [
    name for name, each in WRITABLE.items() if "properties" in followed(each.get("items", {}))
]
# What the database keeps of a task, and the contract of a deleted one or not at all.
PRIVATE = {
    "deleted_at": Column("timestamp with time zone", None, nullable=True),
    # made of the revision, for an index
    "revision_range": Column("bigint", None, nullable=True),
    # the revision of the latest completion, and what is made of it, for an order
    "completion_revision": Column("bigint", None, nullable=False),
    "completion_range": Column("bigint", None, nullable=True),
    # the revision of the deletion that took the task along
    "deletion": Column("bigint", None, nullable=True),
    # the local time at which a task is due, if the clocks skip it
    "skipped_due": Column("character varying", None, nullable=True),
    # those fields that most tasks do not use, as clients read them
    "rare_fields": Column("json", None, nullable=True),
    # the times of the reminders
    "reminder_times": Column("jsonb", None, nullable=True),
    # made of `due_on` or `due_at`, for an index
    "due": Column("timestamp with time zone", None, nullable=True),
    # made of the tags, to compare them without case
    "tag_keys": Column("jsonb", None, nullable=True),
}


def kind_of(schema: dict[str, Any]) -> str:
    """The type of the column; of an enumeration the ranks of its values are stored."""
    return "smallint" if "enum" in schema else KINDS[schema["type"], schema.get("format")]


def columns_of_contract(name: str) -> dict[str, Column]:
    """The properties of a schema."""
    return {
        name: Column(
            kind_of(schema),
            schema.get("maxLength") if schema.get("format") in (None, "time-zone") else None,
            schema.get("nullable", False),
        )
        for name, field in followed(SCHEMAS[name])["properties"].items()
        for schema in field.get("allOf", [field])
    }


def columns_of_model(model: type[SQLModel]) -> dict[str, Column]:
    """The fields of a model."""
    return {
        name: Column(kind_of(schema), schema.get("maxLength"), nullable)
        for name, (schema, nullable) in fields_of(model).items()
    }


def fields_of(model: type[SQLModel]) -> dict[str, tuple[dict[str, Any], bool]]:
    """The schema of each field as Pydantic has it, and whether null is among its values."""
    described = model.model_json_schema()
    fields = {}
    for name, schema in described["properties"].items():
        choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
        assert len(choices) == 1
        referred = described.get("$defs", {}).get(choices[0].get("$ref", "").rpartition("/")[2], {})
        fields[name] = ({**schema, **choices[0], **referred}, "anyOf" in schema)
    return fields


def columns_of_table(table: Table) -> dict[str, Column]:
    """The columns that the program believes there are."""
    columns = {}
    for column in table.columns:
        kind, _, longest = column.type.compile(POSTGRESQL).lower().partition("(")
        longest = longest.partition(")")[0]
        columns[column.name] = Column(
            kind.partition(" collate ")[0].replace("varchar", "character varying"),
            int(longest) if longest else None,
            bool(column.nullable),
        )
    return columns


def columns_of_database(url: str, table: str) -> dict[str, tuple[Column, str | None]]:
    """The columns that there are, each with its default."""
    connection = psycopg2.connect(as_owner(url))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, character_maximum_length, is_nullable = 'YES',"
            " column_default FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = %s",
            [table],
        )
        found = {name: (Column(*column), default) for name, *column, default in cursor}
    connection.close()
    return found


@for_each(
    ("schema", "model"),
    [
        ("Task", models.TaskRead),
        ("DeletedTask", models.DeletedTaskRead),
        ("TaskCreate", models.TaskCreate),
        ("TaskUpdate", models.TaskUpdate),
        ("TaskPatch", models.TaskUpdate),
        ("TaskList", lists.ListRead),
        ("DeletedList", lists.DeletedListRead),
        ("ListCreate", lists.ListCreate),
        ("ListPatch", lists.ListPatch),
    ],
)
def test_contract_and_models_agree(schema: str, model: type[SQLModel]) -> None:
    contract = followed(SCHEMAS[schema])
    fields = {name: field for name, (field, _) in fields_of(model).items()}

    assert columns_of_model(model) == columns_of_contract(schema)
    assert set(contract.get("required", ())) == {
        name for name, field in model.model_fields.items() if field.is_required()
    }
    for name, prop in contract["properties"].items():
        if "format" not in prop:
            assert prop.get("minLength") == fields[name].get("minLength")


def test_a_deleted_task_has_all_of_a_task_and_when_it_was_deleted() -> None:
    task, deleted = followed(SCHEMAS["Task"]), followed(SCHEMAS["DeletedTask"])

    assert list(deleted["properties"]) == [*task["properties"], "deleted_at"]
    assert deleted["required"] == [*task["required"], "deleted_at"]


def default_of(schema: dict[str, Any], value: Any) -> str:
    """The default as PostgreSQL prints it; of an enumeration, the rank of its first value."""
    if "enum" in schema:
        return "0"
    written = orjson.dumps(value).decode()
    return f"'{written}'::jsonb" if schema["type"] == "array" else written


def test_contract_and_database_agree(database_url: str) -> None:
    found = columns_of_database(database_url, "tasks")

    assert {name: column for name, (column, _) in found.items()} == {
        **columns_of_contract("Task"),
        **PRIVATE,
        **dict.fromkeys(OF_OBJECTS, Column("jsonb", None, nullable=True)),
    }
    assert {name: default for name, (_, default) in found.items() if default} == {
        **{
            name: default_of(WRITABLE[name], value)
            for name, value in DEFAULTS.items()
            if value is not None and name not in OF_OBJECTS
        },
        "position": "'a0'::character varying",
        "completion_revision": "0",
        "created_at": "now()",
        "updated_at": "now()",
    }


@for_each(
    "model",
    [
        *(models.User, models.Task, models.TaskTag, models.Secret, models.Replay),
        *(lists.TaskList, reminders.TaskReminder),
    ],
)
def test_tables_and_database_agree(database_url: str, model: type[SQLModel]) -> None:
    table: Table = model.metadata.tables[str(model.__tablename__)]
    found = columns_of_database(database_url, table.name)

    assert columns_of_table(table) == {name: column for name, (column, _) in found.items()}
    assert {name: default for name, (_, default) in found.items() if default} == {
        column.name: str(column.server_default.arg)
        for column in table.columns
        if isinstance(column.server_default, DefaultClause)
    }
