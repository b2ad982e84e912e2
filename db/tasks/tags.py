"""The tags of tasks: each has a key, which is the same for tags that differ only in case."""

from collections.abc import Mapping
from typing import Any

from db.caseless import folded


def keys_of(tags: list[str]) -> list[str] | None:
    """The column `tag_keys` of a task with these tags; null if there are none."""
    return [folded(tag) for tag in tags] or None


def keyed(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields, with the keys of the tags if these are among them."""
    if "tags" not in fields:
        return fields
    return {**fields, "tag_keys": keys_of(fields["tags"])}
