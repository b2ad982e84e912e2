"""What the compiler refuses in a contract of streams, for it would not be enforced."""

from pathlib import Path

import pytest

from openapi.server.app import App
from openapi.settings import load_settings
from tests.support import streams
from tests.support.changed_contracts import reason_for_refusal

CONTRACT = Path(streams.__file__).with_name("openapi.yaml")
LINES = "            application/jsonl:\n              x-itemSchema: &Line\n"
JSON = "            application/json:\n              schema: {type: integer}\n"

REFUSED = {
    "a media type that cannot be written": (
        LINES,
        LINES.replace("jsonl", "xml"),
        "the media type of a response is one of application/json, application/jsonl",
    ),
    "a stream without a schema of its items": (
        LINES,
        LINES.replace("x-itemSchema", "x-itemschema"),
        "a stream needs x-itemSchema",
    ),
    "a stream with a schema of the whole": (
        LINES,
        LINES.replace("x-itemSchema", "schema: {type: string}\n              x-itemSchema"),
        "the items of a stream have x-itemSchema",
    ),
    "a document with a schema of items": (
        JSON,
        JSON + "              x-itemSchema: {type: integer}\n",
        "a JSON document is no sequence of items",
    ),
    "a schema of items that is not enforced": (
        "text: {type: string, maxLength: 1000}",
        "text: {type: string, contentEncoding: base64}",
        "the schema keyword 'contentEncoding' is not supported",
    ),
    "an event without data": (
        "                required: [data]\n",
        "                required: []\n",
        "an event has `data`",
    ),
    "a field that events do not have": (
        "                  retry: {type: integer}\n",
        "                  time: {type: integer}\n",
        "an event has `data`, and may have `event`, `id` and `retry`",
    ),
    "a field of events with another type": (
        "                  retry: {type: integer}\n",
        "                  retry: {type: string}\n",
        "`retry` of an event has the type integer",
    ),
    "responses of one operation with different media types": (
        "            application/problem+json:\n",
        "            application/json:\n",
        "the responses of an operation must have the same media types",
    ),
    "a deadline that is no number": (
        "x-response-timeout: 0.3",
        "x-response-timeout: soon",
        "x-response-timeout is a number of seconds",
    ),
    "a deadline that has always passed": (
        "x-response-timeout: 0.3",
        "x-response-timeout: 0",
        "x-response-timeout is a number of seconds",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_contract_of_streams_is_refused_that_has(case: str, tmp_path: Path) -> None:
    old, new, reason = REFUSED[case]

    assert reason in reason_for_refusal(CONTRACT, old, new, tmp_path)


def test_the_contract_of_streams_is_not_refused() -> None:
    App(load_settings(database_url="postgresql:///nowhere"), CONTRACT)
