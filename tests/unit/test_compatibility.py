"""No change breaks clients of the last released contract, unless the version says so."""

from copy import deepcopy
from typing import Any

import yaml

from openapi.contract.compatibility import breaking_changes, changes
from tests.support.cases import for_each
from tests.support.contract import DOCUMENT
from tests.support.project import ROOT

# At a release: cp openapi/openapi.yaml tests/released/openapi.yaml
LAST_RELEASED = ROOT / "tests" / "released" / "openapi.yaml"
RELEASED: dict[str, Any] = yaml.load(LAST_RELEASED.read_text(), yaml.CSafeLoader)

GONE = object()
TEXT = {"type": "string", "maxLength": 80}

# The smallest contract that has everything a change can be about.
CONTRACT: dict[str, Any] = yaml.safe_load("""
info: {version: 0.1.0}
paths:
  /notes:
    parameters:
      - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 50}}
    get:
      operationId: list_notes
      parameters:
        - {name: kind, in: query, schema: {type: string, enum: [draft, final]}}
      responses:
        '200':
          headers:
            Link: {required: true, schema: {type: string, maxLength: 100}}
          content:
            application/json:
              schema: {type: array, maxItems: 100, items: {$ref: '#/components/schemas/Note'}}
        '400': {}
    post:
      operationId: create_note
      requestBody:
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              required: [text]
              properties:
                text: {type: string, minLength: 1, maxLength: 80}
                marks: {type: array, items: {$ref: '#/components/schemas/Mark'}}
                about: {type: string, nullable: true, maxLength: 80}
                stars: {type: integer, format: int64}
      responses:
        '201': {}
components:
  schemas:
    Note:
      type: object
      additionalProperties: false
      required: [id, text]
      properties:
        id: {type: string, format: uuid}
        text: {allOf: [{$ref: '#/components/schemas/Text'}], description: What it says}
        kind: {type: string, enum: [draft, final]}
        mark: {$ref: '#/components/schemas/Mark'}
    Text: {type: string, minLength: 1, maxLength: 80}
    Mark:
      oneOf: [{$ref: '#/components/schemas/Star'}, {$ref: '#/components/schemas/Flag'}]
      discriminator:
        propertyName: kind
        mapping: {star: '#/components/schemas/Star', flag: '#/components/schemas/Flag'}
    Star:
      type: object
      additionalProperties: false
      required: [kind]
      properties:
        kind: {type: string, enum: [star]}
        points: {type: integer, maximum: 5}
    Flag:
      type: object
      additionalProperties: false
      required: [kind]
      properties:
        kind: {type: string, enum: [flag]}
""")
SHORT = {
    "LIST": "paths /notes get",
    "LIMIT": "paths /notes parameters 0",
    "KIND": "paths /notes get parameters 0",
    "PAGE": "paths /notes get responses 200",
    "CREATE": "paths /notes post",
    "SENT": "paths /notes post requestBody content application/json schema",
    "NOTE": "components schemas Note",
    "MARK": "components schemas Mark",
}
STAR = {"$ref": "#/components/schemas/Star"}
FLAG = {"$ref": "#/components/schemas/Flag"}


def changed(where: str, value: Any) -> dict[str, Any]:
    """The contract with one change at that location."""
    contract = deepcopy(CONTRACT)
    first, *rest = where.split()
    *keys, last = f"{SHORT.get(first, first)} {' '.join(rest)}".split()
    node: Any = contract
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node[key]
    if isinstance(node, list):
        node.insert(int(last), value)
    elif value is GONE:
        del node[last]
    else:
        node[last] = value
    return contract


def significant(version: str) -> tuple[int, int]:
    """What a breaking change raises: the major version or, while that is 0, the minor."""
    major, minor, _ = map(int, version.split("."))
    return major, 0 if major else minor


def unannounced(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Breaking changes without a raised version."""
    before, after = (significant(contract["info"]["version"]) for contract in (old, new))
    return [] if after > before else breaking_changes(old, new)


def test_breaking_change_of_the_contract_has_raised_its_version() -> None:
    found = unannounced(RELEASED, DOCUMENT)

    assert not found, "\n".join(["raise info.version, or undo:", *found])


@for_each(
    ("where", "value", "change"),
    [
        ("paths /notes", GONE, "GET /notes is gone"),
        ("LIST", GONE, "GET /notes is gone"),
        ("LIST operationId", "get_notes", "operationId was 'list_notes', is 'get_notes'"),
        ("LIST operationId", GONE, "operationId was 'list_notes', is None"),
        ("LIST responses 400", GONE, "400 is gone"),
        ("security", [{"bearer": []}], "no authentication no longer suffices"),
        # requests
        ("KIND name", "sort", "query parameter kind is gone"),
        ("KIND required", True, "query parameter kind is now required"),
        ("KIND", {"name": "x", "in": "header", "required": True}, "header parameter x is now req"),
        ("KIND schema enum", ["final"], "kind: enum was ['draft', 'final'], is ['final']"),
        ("KIND explode", False, "kind: explode was None, is False"),
        ("LIMIT schema maximum", 50, "limit: maximum was 100, is 50"),
        ("SENT not", {"required": ["text", "kind"]}, "not was None, is {'required': ["),
        ("LIMIT schema minimum", 2, "limit: minimum was 1, is 2"),
        ("LIMIT schema exclusiveMinimum", True, "exclusiveMinimum was None, is True"),
        ("LIMIT schema default", 20, "limit: default was 50, is 20"),
        ("CREATE requestBody", GONE, "body is gone"),
        ("CREATE requestBody required", True, "body is now required"),
        ("CREATE requestBody content", {"text/plain": {}}, "body: application/json is gone"),
        ("SENT required", ["text", "about"], "about is now required"),
        ("SENT properties about", GONE, "about is gone"),
        ("SENT properties about readOnly", True, "about is gone"),
        ("SENT properties about nullable", False, "about: nullable was True, is False"),
        ("SENT properties text maxLength", 79, "text: maxLength was 80, is 79"),
        ("SENT properties text minLength", 2, "text: minLength was 1, is 2"),
        ("SENT properties text pattern", "^a", "text: pattern was None, is '^a'"),
        ("SENT properties text enum", ["a"], "text: enum was None, is ['a']"),
        ("SENT properties stars type", "string", "stars: type was 'integer', is 'string'"),
        ("SENT properties stars format", "int32", "stars: format was 'int64', is 'int32'"),
        ("SENT oneOf", [TEXT], "json: oneOf is new"),
        ("SENT properties text allOf", [TEXT, TEXT], "text: allOf is new"),
        ("MARK oneOf", [STAR], "body: application/json: marks: []: oneOf: flag is gone"),
        ("MARK oneOf", GONE, "marks: []: oneOf is gone"),
        ("components schemas Star required", ["kind", "points"], "[]: star: points is now req"),
        ("components schemas Star properties points maximum", 4, "maximum was 5, is 4"),
        # responses
        ("PAGE headers Link", GONE, "200: Link is gone"),
        ("PAGE headers Link required", False, "200: Link is no longer always there"),
        ("PAGE headers Link schema maxLength", 101, "Link: maxLength was 100, is 101"),
        ("PAGE content", {"text/plain": {}}, "200: application/json is gone"),
        ("PAGE content application/json schema maxItems", 101, "maxItems was 100, is 101"),
        ("NOTE required", ["id"], "text is no longer always there"),
        ("NOTE properties id", GONE, "id is gone"),
        ("NOTE properties id writeOnly", True, "id is gone"),
        ("NOTE properties id nullable", True, "id: nullable was None, is True"),
        ("NOTE properties id type", "integer", "id: type was 'string', is 'integer'"),
        ("NOTE properties id format", GONE, "id: format was 'uuid', is None"),
        ("NOTE properties kind enum", ["draft", "final", "old"], "'final'], is ['draft', 'final',"),
        ("NOTE properties kind enum", GONE, "kind: enum was ['draft', 'final'], is None"),
        ("components schemas Text maxLength", 81, "text: maxLength was 80, is 81"),
        ("MARK oneOf", [STAR, FLAG, {"type": "object"}], "[]: mark: oneOf: 2 is new"),
        ("components schemas Star properties points", GONE, "[]: mark: star: points is gone"),
    ],
)
def test_breaking_change_is_found(where: str, value: Any, change: str) -> None:
    found = unannounced(CONTRACT, changed(where, value))

    assert [each for each in found if change in each], found


@for_each(
    ("where", "value", "change"),
    [
        ("paths /notes delete", {"responses": {"204": {}}}, "DELETE /notes is new"),
        ("KIND", {"name": "sort", "in": "query", "schema": TEXT}, "query parameter sort is new"),
        ("LIMIT schema maximum", 101, "limit: maximum was 100, is 101"),
        ("SENT required", [], "text is no longer required"),
        ("SENT properties due", TEXT, "due is new"),
        ("PAGE content application/json schema maxItems", 99, "maxItems was 100, is 99"),
        ("NOTE required", ["id", "text", "kind"], "kind is now always there"),
    ],
)
def test_change_that_breaks_no_client_is_listed_as_such(
    where: str, value: Any, change: str
) -> None:
    found = changes(CONTRACT, changed(where, value))

    assert [each for each in found if change in each.text], found
    assert not [each for each in found if each.breaks]


def test_a_token_that_is_no_longer_needed_is_listed_and_breaks_no_client() -> None:
    found = changes(changed("security", [{"bearer": []}]), CONTRACT)

    assert {each.text.partition(": ")[2] for each in found} == {"no authentication now suffices"}
    assert not [each for each in found if each.breaks]


def test_a_change_of_texts_alone_is_none() -> None:
    assert changes(CONTRACT, changed("LIST description", "Newest first.")) == []


def test_every_field_that_a_body_may_no_longer_have_is_found() -> None:
    open_to_all = changed("SENT additionalProperties", True)

    assert unannounced(CONTRACT, open_to_all) == []
    assert unannounced(open_to_all, CONTRACT) == [
        "POST /notes: body: application/json: additionalProperties was True, is False"
    ]


def test_optional_field_of_a_batch_operation_is_compatible() -> None:
    new = deepcopy(DOCUMENT)
    new["components"]["schemas"]["BatchCreate"]["properties"]["colour"] = TEXT

    assert unannounced(DOCUMENT, new) == []


def test_change_of_a_batch_operation_is_named_alone() -> None:
    new = deepcopy(DOCUMENT)
    new["components"]["schemas"]["BatchToggle"]["required"].append("if_match")

    assert unannounced(DOCUMENT, new) == [
        "POST /api/{user_id}/tasks/batch: body: application/json: operations: []: toggle:"
        " if_match is now required"
    ]


def test_every_change_is_named_with_its_location() -> None:
    assert unannounced(DOCUMENT, {**DOCUMENT, "paths": {}}) == sorted(
        f"{method.upper()} {path} is gone"
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    )


@for_each(
    ("where", "value"),
    [
        ("info title", "Notes"),
        ("paths /more", {"get": {"operationId": "list_more", "responses": {"200": {}}}}),
        ("paths /notes delete", {"operationId": "delete_notes", "responses": {"204": {}}}),
        ("LIST description", "Newest first."),
        ("LIST responses 429", {"description": "Too many"}),
        ("security", [{"bearer": []}, {}]),
        # requests
        ("KIND", {"name": "sort", "in": "query", "schema": TEXT}),
        ("KIND schema enum", ["draft", "final", "old"]),
        ("KIND schema default", "final"),
        ("LIMIT schema maximum", 101),
        ("LIMIT schema minimum", 0),
        ("LIMIT schema type", "number"),
        ("CREATE requestBody content text/plain", {"schema": TEXT}),
        ("SENT required", []),
        ("SENT properties due", TEXT),
        ("SENT properties due", {"type": "string", "format": "date"}),
        ("SENT properties text maxLength", 81),
        ("SENT properties text minLength", 0),
        ("SENT properties text nullable", True),
        ("SENT properties about description", "More about it."),
        ("SENT properties stars format", GONE),
        ("SENT properties text description", "Any text."),
        ("MARK description", "A mark."),
        ("MARK oneOf", [FLAG, STAR]),
        ("components schemas Star properties points description", "How many."),
        ("components schemas Star properties colour", TEXT),
        # responses
        ("PAGE headers ETag", {"schema": TEXT}),
        ("PAGE content application/json schema maxItems", 99),
        ("NOTE required", ["id", "text", "kind"]),
        ("NOTE properties due", TEXT),
        ("NOTE properties id nullable", False),
        ("NOTE properties kind enum", ["final"]),
        ("components schemas Text maxLength", 79),
    ],
)
def test_compatible_change_is_not_reported(where: str, value: Any) -> None:
    assert unannounced(CONTRACT, changed(where, value)) == []


@for_each(
    ("old", "new", "tells"),
    [
        ("0.1.0", "0.1.0", False),
        ("0.1.0", "0.1.1", False),
        ("0.1.9", "0.2.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.9.0", "1.0.0", True),
        ("1.2.0", "1.3.0", False),
        ("1.2.0", "2.0.0", True),
        ("2.0.0", "1.9.0", False),
    ],
)
def test_version_shows_breaking_changes(old: str, new: str, tells: bool) -> None:
    before = {**CONTRACT, "info": {"version": old}}
    after = {**CONTRACT, "info": {"version": new}, "paths": {}}

    assert bool(unannounced(before, after)) is not tells
