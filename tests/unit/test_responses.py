"""What handlers may return, and what is never sent."""

from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlmodel import SQLModel

from openapi.http.problems import ResponseBreaksContract
from openapi.operations.responses import DeclaredResponse

ID = "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"


class Colour(Enum):
    RED = "red"


class Titled(SQLModel):
    """A model with defaults."""

    id: UUID | None = None
    title: str
    description: str | None = None
    completed: bool = False


TEXT = {"type": "string"}
UUID_TEXT = {"type": "string", "format": "uuid"}
MOMENT = {"type": "string", "format": "date-time"}
TITLED = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "nullable": True},
        "title": TEXT,
        "description": {"type": "string", "nullable": True},
        "completed": {"type": "boolean"},
    },
}
TITLED_PLAINLY = {"id": None, "title": "x", "description": None, "completed": False}


def response_of(schema: dict[str, Any], **headers: Any) -> DeclaredResponse:
    content = {"application/json": {"schema": schema}}
    return DeclaredResponse("get_it", 200, {"content": content, "headers": headers}, ())


@pytest.mark.parametrize(
    ("value", "schema", "sent"),
    [
        (Titled(title="x"), TITLED, TITLED_PLAINLY),
        ([Titled(title="x")], {"type": "array", "items": TITLED}, [TITLED_PLAINLY]),
        (Colour.RED, TEXT, "red"),
        (UUID(ID), UUID_TEXT, ID),
        (datetime(2026, 1, 31, tzinfo=UTC), MOMENT, "2026-01-31T00:00:00Z"),
        ({"title": "x"}, TITLED, {"title": "x"}),
    ],
)
def test_models_enums_and_dates_are_encoded_as_json(
    value: Any, schema: dict[str, Any], sent: Any
) -> None:
    assert orjson.loads(response_of(schema).encode(value, {}).body) == sent


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (Titled(title="x"), TEXT),
        ({"title": 5}, TITLED),
        ({"secret": "x"}, TITLED),
        (None, TITLED),
        (datetime(2026, 1, 31), MOMENT),
    ],
)
def test_value_that_breaks_the_contract_is_not_sent(value: Any, schema: dict[str, Any]) -> None:
    with pytest.raises(ResponseBreaksContract, match="the body of get_it's 200"):
        response_of(schema).encode(value, {})


def test_value_for_a_response_without_body_is_not_sent() -> None:
    with pytest.raises(ResponseBreaksContract, match="has no body"):
        DeclaredResponse("delete_it", 204, {}, ()).encode({"secret": "x"}, {})


@pytest.mark.parametrize(("status", "lengths"), [(201, [b"0"]), (204, []), (304, [])])
def test_content_length_of_responses_without_body(status: int, lengths: list[bytes]) -> None:
    response = DeclaredResponse("do_it", status, {}, ()).encode(None, {})

    assert [value for name, value in response.headers if name == b"content-length"] == lengths


@pytest.mark.parametrize("headers", [{}, {"Size": "0"}, {"Size": "1", "Secret": "x"}])
def test_headers_must_be_those_of_the_contract(headers: dict[str, str]) -> None:
    size = {"required": True, "schema": {"type": "integer", "minimum": 1}}

    with pytest.raises(ResponseBreaksContract):
        response_of(TEXT, Size=size).encode("x", headers)
