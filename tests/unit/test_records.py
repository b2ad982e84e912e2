"""Records with the same fields, kept by field, and their validation by field."""

from typing import Any

import orjson
import pytest

from db.records import Records
from openapi.http.problems import ResponseBreaksContract
from openapi.operations.encodings import JsonDocument

FIELDS = {
    "id": {"type": "integer"},
    "owner": {"type": "string", "nullable": True},
    "title": {"type": "string", "maxLength": 5},
}


def array_of(**changes: Any) -> dict[str, Any]:
    records = {
        "type": "object",
        "properties": FIELDS,
        "required": [*FIELDS],
        "additionalProperties": False,
        **changes,
    }
    return {"type": "array", "maxItems": 3, "items": records}


def records_of(*titles: Any, **others: Any) -> Records:
    columns = {"id": [*range(len(titles))], "title": [*titles]}
    names = ("id", "owner", "title", *(others.keys() - {"owner"}))
    return Records(len(titles), columns, {"owner": None, **others}, names)


def encoded(records: Records, **changes: Any) -> bytes:
    return JsonDocument({"schema": array_of(**changes)}, "it", ()).encode(records)


def test_records_are_dictionaries_with_their_fields_in_order() -> None:
    assert records_of("a", "b").as_dicts() == [
        {"id": 0, "owner": None, "title": "a"},
        {"id": 1, "owner": None, "title": "b"},
    ]
    assert records_of().as_dicts() == []


def test_json_of_records_has_their_fields_in_order() -> None:
    columns: dict[str, list[Any]] = {"title": ["é", None], "id": [1, 2]}
    constants: dict[str, Any] = {"c": [], "a": 'x"', "b": None, "d": {"e": 0}}
    names = ("a", "b", "id", "c", "title", "d")
    records = Records(2, columns, constants, names)

    assert records.as_json() == orjson.dumps(records.as_dicts())
    assert tuple(records.as_dicts()[1]) == names
    assert records_of().as_json() == b"[]"


def test_json_of_records_has_their_own_constants() -> None:
    pages = [records_of("a", tags=tags, due=None) for tags in ([], ["x"])]

    for records in (*pages, *pages):
        assert records.as_json() == orjson.dumps(records.as_dicts())


def test_records_can_be_cut_and_reversed() -> None:
    records = records_of("a", "b", "c")

    assert records[-1] == {"id": 2, "owner": None, "title": "c"}
    assert [each["title"] for each in records[:2].as_dicts()] == ["a", "b"]
    assert [each["title"] for each in records[::-1].as_dicts()] == ["c", "b", "a"]
    assert len(records[1:]) == 2
    records.cut(4)
    assert len(records) == 3
    records.cut(1)
    assert records.as_dicts() == [{"id": 0, "owner": None, "title": "a"}]


def test_records_without_a_field_are_new_ones() -> None:
    records = records_of("a")

    assert records.without("owner").as_dicts() == [{"id": 0, "title": "a"}]
    assert records.as_dicts() == [{"id": 0, "owner": None, "title": "a"}]


def test_a_field_that_is_the_same_in_all_records_is_in_each_of_them() -> None:
    assert encoded(records_of("a", "b")) == (
        b'[{"id":0,"owner":null,"title":"a"},{"id":1,"owner":null,"title":"b"}]'
    )
    assert encoded(records_of()) == b"[]"


@pytest.mark.parametrize(
    "records",
    [
        records_of("a", "too long"),
        records_of("a", None),
        records_of("a", owner=7),
        records_of("a", other=["x"]),
        records_of("a").without("title"),
        records_of("a", "b", "c", "d"),
    ],
    ids=["long", "null", "constant", "unknown field", "missing field", "too many"],
)
def test_records_that_break_the_schema_are_refused(records: Records) -> None:
    with pytest.raises(ResponseBreaksContract):
        encoded(records)


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"minProperties": 3}, True),
        ({"minProperties": 4}, False),
        ({"not": {"required": ["owner"]}}, False),
    ],
)
def test_a_schema_about_several_fields_is_checked_for_each_record(
    changes: dict[str, Any], accepted: bool
) -> None:
    if accepted:
        assert encoded(records_of("a"), **changes)
    else:
        with pytest.raises(ResponseBreaksContract):
            encoded(records_of("a"), **changes)
