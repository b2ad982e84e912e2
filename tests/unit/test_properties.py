"""Random bodies and media types are read as by reference parsers."""

import asyncio
import json
import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from openapi.http.media_types import content_type, preferred
from openapi.http.problems import MALFORMED, TOO_LARGE, Problem, problem_response
from openapi.http.request import ClientDisconnected
from openapi.operations.bodies import Body, parsed
from tests.support.references import LONGEST_INTEGER, json_value, property_settings
from tests.support.requests import request_with

SPACES = st.text(" \t\r\n", max_size=2)
NEARLY_SPACES = st.sampled_from(["", "", "", " ", "\n", "\ufeff", "\xa0", "\x0b", "\x00"])
NUMBERS = st.from_regex(
    r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", fullmatch=True, alphabet="0123456789-+.eE"
)
LONG_NUMBERS = st.builds(
    lambda sign, length, end: sign + "1" * length + end,
    st.sampled_from(["", "-"]),
    st.integers(LONGEST_INTEGER - 2, LONGEST_INTEGER + 2),
    st.sampled_from(["", ".0", "e5", "." + "1" * LONGEST_INTEGER]),
)
NOT_QUITE = [
    "NaN",
    "-Infinity",
    "01",
    "+1",
    "1.",
    ".5",
    "1e",
    "-",
    "nul",
    "True",
    "[,]",
    "{,}",
    "''",
]
CHARACTERS = st.characters(exclude_categories=["Cs"])
ESCAPES = st.one_of(
    st.sampled_from([r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\x00"]),
    st.sampled_from([r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\uD83D", r"\u00e9", r"\u12"]),
)
STRINGS = st.builds(
    lambda pieces: f'"{"".join(pieces)}"',
    st.lists(st.one_of(CHARACTERS.filter(lambda each: each not in '"\\'), ESCAPES), max_size=4),
)
KEYS = st.one_of(STRINGS, st.sampled_from(['"a"', '"b"', r'"\u0061"']))


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, max_size=3).map(lambda each: f"[{','.join(each)}]")


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    field = st.builds("{1}{0}{1}:{2}".format, KEYS, SPACES, values)
    return st.lists(field, max_size=3).map(lambda each: f"{{{','.join(each)}}}")


def texts(scalars: st.SearchStrategy[str], spaces: st.SearchStrategy[str]) -> Any:
    """Texts in JSON, or nearly."""
    values = st.recursive(scalars, lambda inner: arrays(inner) | objects(inner), max_leaves=6)
    return st.builds("{0}{1}{2}".format, spaces, values, spaces).map(str.encode)


SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null"]))
JSON_TEXTS = texts(SCALARS, SPACES)
NEARLY_JSON = texts(SCALARS | st.sampled_from(NOT_QUITE) | LONG_NUMBERS, SPACES | NEARLY_SPACES)
DEEP = st.builds(
    lambda opening, closing, depth: opening * depth + b"1" + closing * depth,
    *(st.just(each) for each in (b"[", b"]")),
    st.integers(195, 205),
) | st.builds(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth, st.integers(195, 205))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """JSON of which one piece was replaced by another."""
    body: bytes = draw(JSON_TEXTS)
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(body))] * 2)))
    piece = draw(st.binary(max_size=3) | st.sampled_from([b",", b"}", b'"', b"\\", body[start:]]))
    return body[:start] + piece + body[end:]


def outcome(read: Callable[[bytes], Any], body: bytes) -> str:
    """The value as text, in which `1`, `1.0` and `True` differ."""
    try:
        return repr(read(body))
    except Problem as problem:
        assert problem.kind is MALFORMED
        assert problem_response(problem, "a test", "an id").status == 400
    except ValueError:
        assert read is json_value
    return "refused"


@property_settings(400)
@given(JSON_TEXTS | NEARLY_JSON | DEEP | mutated() | st.binary(max_size=20))
@example(b"1e400")
@example(b"-0")
@example(b"-0.0")
@example(b"\xef\xbb\xbf1")
@example(b'"\xed\xa0\x80"')
@example(b'{"a":{"b":1,"b":2}}')
def test_body_is_read_as_by_the_reference_parser(body: bytes) -> None:
    assert outcome(parsed, body) == outcome(json_value, body)


@property_settings(100)
@given(st.text(CHARACTERS, min_size=1, max_size=3).map(lambda text: text * 500))
def test_message_about_a_body_is_short(text: str) -> None:
    key = json.dumps(text, ensure_ascii=False)

    with pytest.raises(Problem) as caught:
        parsed(f"{{{key}:1,{key}:2}}".encode())

    assert len(str(caught.value)) < 1000


def messages(chunks: list[bytes], ends: bool) -> Iterator[Message]:
    """A request as the server hands it over, with the parts left out that have defaults."""
    last = len(chunks) - 1 if ends else len(chunks)
    for index, chunk in enumerate(chunks):
        yield {
            "type": "http.request",
            **({"body": chunk} if chunk else {}),
            **({"more_body": True} if index != last else {}),
        }
    yield {"type": "http.disconnect"}


def receiving(chunks: list[bytes], ends: bool = True) -> Receive:
    coming = messages(chunks, ends)

    async def receive() -> Message:
        return next(coming)

    return receive


@property_settings(150)
@given(
    st.lists(st.binary(max_size=6), min_size=1, max_size=6),
    st.integers(0, 20),
    st.booleans(),
    st.booleans(),
)
def test_body_in_any_chunks_is_read_whole_and_refused_only_over_the_limit(
    chunks: list[bytes], limit: int, announced: bool, ends: bool
) -> None:
    body = b"".join(chunks)
    length = {b"content-length": b"%d" % len(body)} if announced else {}
    headers = {b"transfer-encoding": b"chunked", **length}

    reading = request_with(headers=headers, receive=receiving(chunks, ends)).body(limit)

    if len(body) > limit:
        with pytest.raises(Problem) as caught:
            asyncio.run(reading)
        assert caught.value.kind is TOO_LARGE
    elif not ends:
        with pytest.raises(ClientDisconnected):
            asyncio.run(reading)
    else:
        assert asyncio.run(reading) == body


FIELDS = {"a": {"type": "integer", "default": 1}}
BODIES = {
    "an object": {"type": "object", "additionalProperties": False, "properties": FIELDS},
    "an object or null": {
        "type": "object",
        "nullable": True,
        "additionalProperties": False,
        "properties": FIELDS,
    },
    "anything": {"additionalProperties": False, "properties": FIELDS},
}


@pytest.mark.parametrize("kind", BODIES)
@property_settings(100)
@given(body=JSON_TEXTS | st.sampled_from([b"null", b"{}", b'{"a":2}', b"[]", b"5"]))
def test_any_body_is_accepted_or_refused(kind: str, body: bytes) -> None:
    media = {"application/json": {"schema": BODIES[kind]}}
    headers = {b"content-length": b"%d" % len(body), b"content-type": b"application/json"}
    request = request_with(headers=headers, receive=receiving([body]))

    reading = Body({"content": media}, ()).read(request, 10_000)

    try:
        value, faults = asyncio.run(reading)
    except Problem as problem:
        assert problem.kind is MALFORMED
    else:
        given_value = json_value(body)
        with_default = {"a": 1, **given_value} if isinstance(given_value, dict) else given_value
        assert faults or value == with_default


TOKENS = st.text(string.ascii_letters + "*+.-", min_size=1, max_size=8)
RANGES = st.sampled_from(
    [
        *("*/*", "application/*", "application/json", "Application/JSON", "application/jsonl"),
        *("text/*", "text/event-stream"),
    ]
)
OFFERED = ("application/json", "application/jsonl", "text/event-stream")
QUALITIES = st.sampled_from([None, "0", "0.", "0.0", "0.000", "0.001", "0.5", "1", "1.000"])


@st.composite
def media_range(draw: st.DrawFn) -> tuple[str, float, str]:
    """A media range, its quality, and how both are written."""
    name = draw(RANGES | st.builds("{}/{}".format, TOKENS, TOKENS))
    quality = draw(QUALITIES)
    space = draw(st.sampled_from(["", " ", "\t"]))
    marker = draw(st.sampled_from(["q", "Q"]))
    written = name if quality is None else f"{name}{space};{space}{marker}={quality}"
    return name.lower(), float(quality or 1), space + written + space


@property_settings(150)
@given(st.lists(media_range(), min_size=1, max_size=5, unique_by=lambda each: each[0]))
def test_offer_of_the_highest_quality_is_preferred(
    ranges: list[tuple[str, float, str]],
) -> None:
    qualities = {name: quality for name, quality, _ in ranges}
    wanted = [closest_quality(offer, qualities) for offer in OFFERED]
    accept = ",".join(written for *_, written in ranges).encode()

    assert preferred(accept, OFFERED[:1]) == (OFFERED[0] if wanted[0] > 0 else None)
    assert preferred(accept, OFFERED) == (
        OFFERED[wanted.index(max(wanted))] if max(wanted) > 0 else None
    )


def closest_quality(media_type: str, qualities: dict[str, float]) -> float:
    kind, _ = media_type.split("/")
    closest = [qualities.get(name) for name in (media_type, f"{kind}/*", "*/*")]
    return next((quality for quality in closest if quality is not None), 0.0)


@property_settings(150)
@given(st.binary(max_size=30) | st.from_regex(rb"[a-z/]+(;[a-z]+=[\"a-z0-9.-]*)*", fullmatch=True))
def test_any_accept_header_is_read(header: bytes) -> None:
    name, is_utf8 = content_type(header)

    assert name == name.strip().lower()
    assert isinstance(is_utf8, bool)
    assert preferred(header, OFFERED) in {*OFFERED, None}


@property_settings(100)
@given(
    TOKENS, TOKENS, st.sampled_from(["utf-8", "UTF-8", "utf8", "latin-1", "utf-16"]), st.booleans()
)
def test_content_type_is_its_name_and_its_charset(
    kind: str, subtype: str, charset: str, quoted: bool
) -> None:
    written = f'"{charset}"' if quoted else charset

    header = f" {kind}/{subtype} ; Charset={written} ; x=y".encode()

    assert content_type(header) == (
        f"{kind}/{subtype}".lower(),
        charset.lower().startswith("utf-8") or charset == "utf8",
    )
