"""The contract as it is read from its file and served."""

import textwrap

import pytest
import yaml

from openapi.contract.document import Contract, Loader


@pytest.mark.parametrize(
    "own", ["before: 1\n<<: *fields\nafter: 2", "before: 1\nafter: 2\n<<: *fields", "<<: *fields"]
)
def test_merged_fields_keep_their_place_among_the_others(own: str) -> None:
    merged = textwrap.indent(own, "  ")

    document = yaml.load(f"base: &fields {{a: 0, b: 0}}\nmerged:\n{merged}", Loader)

    expected = [
        name for line in own.splitlines() for name in (["a", "b"] if "<<" in line else [line[:-3]])
    ]
    assert list(document["merged"]) == expected


def test_a_field_beside_a_merge_overrides_the_merged_one() -> None:
    document = yaml.load("base: &fields {a: 0, b: 0}\nmerged: {a: 1, <<: *fields}", Loader)

    assert document["merged"] == {"a": 1, "b": 0}


def test_the_response_of_success_is_served_first() -> None:
    """Clients that openapi-generator makes accept the first media type that there is."""
    for _, _, operation in Contract.load().operations():
        assert next(iter(operation["responses"])).startswith("2"), operation["operationId"]
