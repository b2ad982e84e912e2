"""Random paths are matched as by a reference matcher."""

import re
from typing import Any, cast
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from openapi.contract.faults import Unsupported
from openapi.http.problems import MALFORMED, Problem
from openapi.operations.operation import Operation
from openapi.operations.routing import Router
from tests.support.references import property_settings

LITERALS = ["a", "b", "c", "tasks", "é", "a b", "a.b", ""]
SEGMENTS = st.sampled_from([*LITERALS, "{x}", "{x}", "{y}", "{z}"])
TEMPLATES = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda each: "/" + "/".join(each))
TEXTS = st.sampled_from([*LITERALS, *LITERALS, "a/b", "{x}", "%", "+", "."]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=3
)


class Stub:
    """An operation, of which a router knows only the path."""

    where = ()


OPERATION = cast(Operation, Stub())


def router_of(templates: list[str]) -> tuple[Router, list[str]]:
    """A router, and the templates that it did not refuse."""
    router = Router()
    taken: list[str] = []
    for template in templates:
        try:
            router.add(template, "GET", OPERATION)
        except Unsupported:
            assert any(shape(other) == shape(template) != other for other in taken)
        else:
            taken.append(template)
    return router, taken


def shape(template: str) -> str:
    return re.sub(r"\{\w+\}", "{}", template)


def match(templates: list[str], segments: list[str]) -> tuple[list[str], dict[str, str]] | None:
    """The best match: literal segments come first; line breaks separate segments here."""
    text = "/" + "\n".join(segments)
    fitting = []
    for template in templates:
        parts = template.split("/")[1:]
        pattern = "\n".join("([^\n]+)" if "{" in part else re.escape(part) for part in parts)
        if found := re.fullmatch("/" + pattern, text):
            names = [part[1:-1] for part in parts if "{" in part]
            order = ["{" in part for part in parts]
            fitting.append((order, names, found.groups()))
    if not fitting:
        return None
    _, names, texts = min(fitting)
    return names, dict(zip(names, texts, strict=True))


@st.composite
def written(draw: st.DrawFn, text: str) -> str:
    """Percent-encoded as much as it must be, or wholly."""
    wholly = "".join(f"%{byte:02x}" for byte in text.encode())
    return draw(st.sampled_from([quote(text, safe=""), wholly]))


@property_settings(400)
@given(st.data())
def test_path_is_matched_as_by_the_reference_matcher(data: st.DataObject) -> None:
    router, taken = router_of(data.draw(st.lists(TEMPLATES, min_size=1, max_size=8)))
    usual = st.sampled_from(taken).map(lambda each: each.split("/")[1:])
    segments = [
        data.draw(TEXTS) if "{" in part else part
        for part in data.draw(usual | st.lists(TEXTS, min_size=1, max_size=5))
    ]
    path = "".join("/" + data.draw(written(segment)) for segment in segments)

    found: Any = router.match(path.encode())

    assert (found and (found[0].names, found[1])) == match(taken, segments)


@property_settings(300)
@given(st.lists(TEMPLATES, max_size=5), st.binary(max_size=12))
def test_any_path_is_matched_without_an_error(templates: list[str], path: bytes) -> None:
    router, _ = router_of(templates)

    try:
        router.match(b"/" + path)
    except Problem as problem:
        assert problem.kind is MALFORMED
