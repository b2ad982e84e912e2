"""Schemas of the contract as types of Python, and values that they allow."""

from collections.abc import Callable
from typing import Any

from openapi.contract.faults import keys_of

Node = dict[str, Any]

JSON = "application/json"
NAMED = "#/components/schemas/"
UUID_EXAMPLE = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
OF_FORMATS = {
    "uuid": UUID_EXAMPLE,
    "date-time": "2026-01-31T09:26:53Z",
    "date": "2026-01-31",
    "email": "alice@example.com",
    "uri": "https://example.com",
}
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


class Schemas:
    """The schemas of one document, by their references."""

    def __init__(self, document: Node) -> None:
        self._document = document

    def followed(self, node: Any) -> Any:
        """The node itself, or what it refers to; the parts of an allOf are one."""
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self._document
            for key in keys_of(node["$ref"]):
                target = target[int(key)] if isinstance(target, list) else target[key]
            node = target
        if isinstance(node, dict) and "allOf" in node:
            return self._merged(node)
        return node

    def _merged(self, node: Node) -> Node:
        parts = [self.followed(each) for each in node["allOf"]]
        own = {key: value for key, value in node.items() if key != "allOf"}
        merged: Node = {}
        for part in (*parts, own):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**merged, **part}
            merged |= {"properties": properties} if properties else {}
            merged |= {"required": required} if required else {}
        return merged

    def name(self, node: Node) -> str | None:
        """The name of the schema that is referred to, be it of the items of an array."""
        reference = node.get("$ref", "")
        if reference.startswith(NAMED):
            return str(reference.removeprefix(NAMED))
        followed = self.followed(node)
        return self.name(followed["items"]) if followed.get("type") == "array" else None

    def named(self, name: str) -> Node:
        """The schema of that name."""
        node: Node = self.followed({"$ref": NAMED + name})
        return node

    def annotation(self, node: Node, *, uuids: bool = False) -> str:
        """The type of what JSON holds; of parameters, UUIDs are read as such."""
        schema = self.followed(node)
        kind = schema.get("type")
        if kind == "object":
            found = "dict[str, Any]"
        elif kind == "array":
            found = f"list[{self.annotation(schema['items'], uuids=uuids)}]"
        elif uuids and schema.get("format") == "uuid":
            found = "UUID"
        else:
            found = PLAIN.get(str(kind), "Any")
        return f"{found} | None" if schema.get("nullable") and found != "Any" else found

    def sample(self, node: Node) -> Any:
        """A value that the schema allows, if it has no pattern: an example, or the least one."""
        schema = self.followed(node)
        for key in ("example", "default"):
            if key in schema:
                return schema[key]
        if "enum" in schema:
            return schema["enum"][0]
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.sample(schema[key][0])
        makers: dict[str, Callable[[Node], Any]] = {
            "object": self._sample_of_object,
            "array": lambda each: [self.sample(each["items"])] * max(1, each.get("minItems", 0)),
            "integer": lambda each: each.get("minimum", 1),
            "number": lambda each: each.get("minimum", 1.5),
            "boolean": lambda _: True,
        }
        return makers.get(schema.get("type", ""), self._sample_of_text)(schema)

    def _sample_of_object(self, schema: Node) -> Node:
        required = schema.get("required", ())
        properties = schema.get("properties", {}).items()
        return {name: self.sample(each) for name, each in properties if name in required}

    def _sample_of_text(self, schema: Node) -> str:
        if schema.get("format") in OF_FORMATS:
            return OF_FORMATS[schema["format"]]
        text, least = "example"[: schema.get("maxLength")], schema.get("minLength", 0)
        return text if len(text) >= least else "x" * least

    def example(self, media: Node) -> Any:
        """The first example of a media type, or else a value that its schema allows."""
        if "example" in media:
            return media["example"]
        for each in media.get("examples", {}).values():
            return self.followed(each)["value"]
        return self.sample(media.get("schema", {}))
