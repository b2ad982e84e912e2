"""The table of a new resource: its model and its migration."""

import keyword
import re
from typing import Any, NamedTuple

from openapi.stubs.layout import INDENT, Brackets, Part, module, sentence, text
from openapi.stubs.missing import OWNER, ROOT, Missing, NoStub, names_in
from openapi.stubs.schemas import Node, Schemas

OF_MODELS = "db/schema"
STAMPS = {"created_at", "updated_at"}
RESERVED = {"metadata", "registry"}
NOW = 'server_default={}text("now()")'

KEY_OF_OWNER: Part = Brackets(
    f"{OWNER}: UUID = Field(",
    ['sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)'],
    ")",
)
OWNER_IN_MIGRATION = f'sa.Column("{OWNER}", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"))'
SOURCES = {
    "datetime": ("datetime", "date"),
    "typing": ("Any",),
    "uuid": ("UUID",),
    "sqlalchemy": ("BigInteger", "Column", "DateTime", "ForeignKey", "Uuid", "text"),
    "sqlalchemy.dialects.postgresql": ("JSONB",),
    "sqlmodel": ("Field", "SQLModel"),
}


Types = tuple[str, list[str], str | None, str]

MOMENT = "DateTime(timezone=True)"
OF_FORMATS: dict[Any, Types] = {
    "uuid": ("UUID", [], None, "sa.Uuid"),
    "date-time": ("datetime", [], MOMENT, f"sa.{MOMENT}"),
    "date": ("date", [], None, "sa.Date"),
}
OF_TYPES: dict[str, Types] = {
    "boolean": ("bool", [], None, "sa.Boolean"),
    "object": ("dict[str, Any]", [], "JSONB", "JSONB"),
    "array": ("list[Any]", [], "JSONB", "JSONB"),
}


class Resource(NamedTuple):
    """What an operation creates or returns, and no model describes."""

    name: str
    schema: Node
    schemas: Schemas

    @property
    def table(self) -> str:
        """The name of its table, which is that of the model's module."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        if re.search(r"[^aeiou]y$", words):
            return f"{words[:-1]}ies"
        return f"{words}es" if words.endswith(("s", "x", "ch", "sh")) else f"{words}s"


class Field(NamedTuple):
    """A field of the model, as a type of Python and as a column."""

    name: str
    annotation: str
    nullable: bool
    traits: list[str]
    """The keywords of `Field` that limit its values."""

    of_model: str | None
    """The type of the column, where SQLModel would choose another one."""

    of_migration: str


def new_resources(operations: list[Missing]) -> list[Resource]:
    """The resources of these operations that have no model: named objects with an `id`."""
    known = {name for file in (ROOT / OF_MODELS).glob("*.py") for name in names_in(file)}
    found: dict[str, Resource] = {}
    for operation in operations:
        name = operation.schemas.name(operation.schema_of_success)
        if name is None or not operation.is_of_a_user or {name, f"{name}Read"} & known:
            continue
        schema = operation.schemas.named(name)
        if "id" in schema.get("properties", {}):
            found[name] = Resource(name, schema, operation.schemas)
    return list(found.values())


def model_of(resource: Resource) -> str:
    """The text of the module with the model."""
    fields = _fields(resource)
    described = resource.schema.get("description", "").partition(". ")[0]
    parts = [
        f"class {resource.name}(SQLModel, table=True):\n",
        f'{INDENT}"""{sentence(described or f"What is stored of one {resource.name}")}"""\n\n',
        f'{INDENT}__tablename__ = "{resource.table}"\n\n',
        text(KEY_OF_OWNER, INDENT),
        *(text(_in_model(each), INDENT) for each in fields),
    ]
    body = "".join(parts)
    words = set(re.findall(r"\w+", body))
    imports = {source: words.intersection(names) for source, names in SOURCES.items()}
    docstring = f"The table of {resource.table.replace('_', ' ')}."
    return module(docstring, {key: names for key, names in imports.items() if names}, [body])


def migration_of(resource: Resource, revision: int) -> str:
    """The text of the migration that makes the table."""
    columns = [_in_migration(each) for each in _fields(resource)]
    key: Part = f'sa.PrimaryKeyConstraint("{OWNER}", "id")'
    items: list[Part] = [f'"{resource.table}"', OWNER_IN_MIGRATION, *columns, key]
    upgrade = "".join(
        [
            "def upgrade() -> None:\n",
            text(Brackets("op.create_table(", items, ")"), INDENT),
            f'{INDENT}isolate("{resource.table}")\n',
        ]
    )
    imports: dict[str, set[str]] = {
        "sqlalchemy as sa": set(),
        "alembic": {"op"},
        "db.migrations.isolation": {"isolate"},
    }
    if "JSONB" in upgrade:
        imports["sqlalchemy.dialects.postgresql"] = {"JSONB"}
    head = module(f"{sentence(resource.table.replace('_', ' '))}", imports, [])
    revisions = f'revision = "{revision:04}"\ndown_revision = "{revision - 1:04}"\n'
    return f"{head}\n{revisions}\n\n{upgrade}"


def _fields(resource: Resource) -> list[Field]:
    """The fields but the owner, the `id` first: every key begins with the owner."""
    properties = resource.schema["properties"]
    names = ["id", *(name for name in properties if name not in ("id", OWNER))]
    required = resource.schema.get("required", ())
    return [_field(resource, name, properties[name], name in required) for name in names]


def _field(resource: Resource, name: str, node: Node, is_required: bool) -> Field:
    if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED:
        raise NoStub(f"{resource.name}: no field of a model can be named {name!r}: rename it")
    schema = resource.schemas.followed(node)
    nullable = name != "id" and (schema.get("nullable", False) or not is_required)
    annotation, traits, of_model, of_migration = _types(schema)
    return Field(name, annotation, nullable, traits, of_model, of_migration)


def _types(schema: Node) -> Types:
    """The type, its limits, and the types of the column in the model and the migration."""
    kind, form = str(schema.get("type")), schema.get("format")
    if kind == "string" and form not in OF_FORMATS:
        longest = schema.get("maxLength", max(map(len, schema.get("enum", [])), default=None))
        limits = _limits(min_length=schema.get("minLength"), max_length=longest)
        return "str", limits, None, f"sa.String({longest})" if longest else "sa.String"
    if kind in ("integer", "number"):
        limits = _limits(ge=schema.get("minimum"), le=schema.get("maximum"))
        if kind == "number":
            return "float", limits, None, "sa.Float"
        wide = None if form == "int32" else "BigInteger"
        return "int", limits, wide, f"sa.{wide or 'Integer'}"
    if kind == "string":
        return OF_FORMATS[form]
    return OF_TYPES.get(kind, ("Any", [], "JSONB", "JSONB"))


def _limits(**limits: int | None) -> list[str]:
    return [f"{name}={value}" for name, value in limits.items() if value is not None]


def _in_model(field: Field) -> Part:
    annotation = field.annotation
    keywords: list[Part] = list(field.traits)
    if field.nullable:
        keywords.insert(0, "default=None")
        annotation += " | None" if annotation != "Any" else ""
    if field.of_model:
        stamp = [NOW.format("")] if field.name in STAMPS and not field.nullable else []
        key = ["primary_key=True"] if field.name == "id" else [f"nullable={field.nullable}"]
        keywords.append(Brackets("sa_column=Column(", [field.of_model, *key, *stamp], ")"))
    elif field.name == "id":
        keywords.insert(0, "primary_key=True")
    if not keywords:
        return f"{field.name}: {annotation}"
    return Brackets(f"{field.name}: {annotation} = Field(", keywords, ")")


def _in_migration(field: Field) -> Part:
    items: list[Part] = [f'"{field.name}"', field.of_migration]
    if not field.nullable and field.name != "id":
        items.append("nullable=False")
        if field.name in STAMPS:
            items.append(NOW.format("sa."))
    return Brackets("sa.Column(", items, ")")
