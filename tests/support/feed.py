"""A client's copy of a user's tasks, kept by the change feed."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import httpx

from tests.support.users import User

TOMBSTONE = {"kind", "id", "deleted_at", "revision"}

# What a purge does: it deletes the tombstones, and stores up to which revision.
PURGE = """
    WITH purged AS (
        DELETE FROM tasks WHERE user_id = '{0}' AND deleted_at IS NOT NULL RETURNING revision),
    lists AS (
        DELETE FROM lists WHERE user_id = '{0}' AND deleted_at IS NOT NULL RETURNING revision)
    UPDATE users SET purged_revision = greatest(
        purged_revision, (SELECT max(revision) FROM purged), (SELECT max(revision) FROM lists)),
        task_count = task_count - (SELECT count(*) FROM purged)
     WHERE id = '{0}'
"""


def digest_of(tasks: Iterable[dict[str, Any]]) -> int:
    """The digest of a copy, as the contract defines it."""
    texts = (str(task["revision"]).encode() for task in tasks)
    return sum(int.from_bytes(sha256(each).digest()[:6], "big") for each in texts) % 2**48


class Copy:
    """A client's copy of a user's tasks and lists, kept by the feed."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.starts_anew()

    def starts_anew(self) -> None:
        """Drop everything."""
        self.tasks: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.since: str | None = None
        self._revision = 0

    def asks(self, **parameters: Any) -> httpx.Response:
        """Ask for what comes next."""
        if self.since is not None:
            parameters["since"] = self.since
        return self.user.get(f"/api/{self.user.id}/changes", params=parameters)

    def reads(self, **parameters: Any) -> list[dict[str, Any]]:
        """Apply a page to the copy; returns its tasks and tombstones."""
        response = self.asks(**parameters)
        assert response.status_code == 200, response.text
        return self.applies(response.json())

    def applies(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Apply a page to the copy, and go on from it; returns what it has changed to."""
        found = [change.get(change["kind"], change) for change in page["changes"]]
        for change, changed in zip(page["changes"], found, strict=True):
            assert changed["revision"] > self._revision, "the changes are out of order"
            self._revision = changed["revision"]
            kind, *tombstone = change["kind"].split("_")
            copied = {"task": self.tasks, "list": self.lists}[kind]
            if not tombstone:
                copied[changed["id"]] = changed
            else:
                assert (tombstone, change.keys()) == (["tombstone"], TOMBSTONE)
                copied.pop(changed["id"], None)
        self.since, self.more = page["next"], page["more"]
        assert page["digest"] == (None if self.more else self.digest)
        return found

    @property
    def digest(self) -> int:
        """The digest of the whole copy."""
        return digest_of([*self.tasks.values(), *self.lists.values()])

    def catches_up(self, **parameters: Any) -> None:
        """Read until there is no more."""
        self.reads(**parameters)
        while self.more:
            self.reads(**parameters)


def changed(task: dict[str, Any]) -> dict[str, Any]:
    """The task as the feed has it."""
    return {"kind": "task", "task": task}


def lists_of(user: User) -> dict[str, dict[str, Any]]:
    """The lists on the server."""
    return {each["id"]: each for each in user.get(user.lists).json()}


def tasks_of(user: User) -> dict[str, dict[str, Any]]:
    """The tasks on the server."""
    tasks, url = {}, f"{user.tasks}?limit=100"
    while url:
        page = user.get(url)
        tasks.update({task["id"]: task for task in page.json()})
        url = page.links.get("next", {}).get("url", "")
    return tasks
