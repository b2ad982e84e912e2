"""Clients that work offline: an outbox of writes, and a copy that the feed keeps."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Any
from uuid import uuid4

import httpx

from tests.support.feed import digest_of

Fields = dict[str, Any]

NEVER = 0
"""A revision that no task has."""


class Kind(StrEnum):
    """The kinds of writes."""

    CREATE = auto()
    UPDATE = auto()
    TOGGLE = auto()
    DELETE = auto()
    RESTORE = auto()


@dataclass(eq=False)
class Write:
    """A write that must happen once, as it is stored before its first try."""

    kind: Kind
    task_id: str | None
    fields: Fields = field(default_factory=dict)
    base: int | None = None
    key: str | None = field(default_factory=lambda: str(uuid4()))

    @property
    def is_conditional(self) -> bool:
        """Whether it is about a version that its client has seen."""
        return self.kind in (Kind.UPDATE, Kind.DELETE, Kind.RESTORE)

    def request(self, tasks: str) -> httpx.Request:
        """The HTTP request, the same at every try."""
        method, path = {
            Kind.CREATE: ("POST", tasks),
            Kind.UPDATE: ("PUT", f"{tasks}/{self.task_id}"),
            Kind.TOGGLE: ("PATCH", f"{tasks}/{self.task_id}/complete"),
            Kind.DELETE: ("DELETE", f"{tasks}/{self.task_id}"),
            Kind.RESTORE: ("POST", f"{tasks}/{self.task_id}/restore"),
        }[self.kind]
        return httpx.Request(method, path, headers=dict(self._headers()), json=self._body())

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self.key:
            yield "Idempotency-Key", self.key
        if self.is_conditional:
            yield "If-Match", f'"{self.base or NEVER}"'

    def _body(self) -> Fields | None:
        if self.kind is Kind.CREATE and self.task_id:
            return {"id": self.task_id, **self.fields}
        return self.fields or None


class Client:
    """One of a user's devices; all that its attributes hold is on its disk."""

    def __init__(self, url: str, user_id: str) -> None:
        self.outbox: list[Write] = []
        self.copy: dict[str, Fields] = {}
        self.lists: dict[str, Fields] = {}
        self.trash: dict[str, int] = {}
        self.since: str | None = None
        self._known_revisions: dict[str, int] = {}
        self._user = f"{url}/api/{user_id}"
        self._http = httpx.Client(timeout=30, trust_env=False, verify=False)

    def asks(self, url: str) -> httpx.Response:
        """Read something that the proof does not record."""
        return self._http.get(url)

    def creates_list(self, title: str) -> str:
        """Create a list at once, and return its id; the proof does not record it."""
        response = self._http.post(f"{self._user}/lists", json={"title": title})
        assert response.status_code == 201, response.text
        list_id: str = response.json()["id"]
        return list_id

    def closes(self) -> None:
        """Close every connection."""
        self._http.close()

    # Writes

    def creates(self, title: str, mark: str, *, own_id: bool, keyed: bool) -> None:
        """Add a creation to the outbox; without a key it has an id of its own."""
        task_id = str(uuid4()) if own_id or not keyed else None
        write = Write(Kind.CREATE, task_id, {"title": title, "description": mark})
        if not keyed:
            write.key = None
        self.outbox.append(write)

    def changes(self, kind: Kind, which: int, fields: Fields) -> None:
        """Add a write of a known task to the outbox, if there is one."""
        known = list(self.trash if kind is Kind.RESTORE else {**self.copy, **self._on_their_way()})
        if known:
            task_id = known[which % len(known)]
            self.outbox.append(Write(kind, task_id, fields, self._seen(kind, task_id)))

    def _on_their_way(self) -> dict[str, None]:
        creations = (each for each in self.outbox if each.kind is Kind.CREATE)
        return {each.task_id: None for each in creations if each.task_id}

    def _seen(self, kind: Kind, task_id: str) -> int | None:
        """The version that the write is about; a task that is not yet created has none."""
        if kind is Kind.RESTORE:
            return self.trash[task_id]
        if task_id not in self.copy:
            return None
        known: int = self.copy[task_id]["revision"]
        return max(known, self._known_revisions.get(task_id, NEVER))

    # Sending

    def pushes(self) -> httpx.Response | None:
        """Try the first write of the outbox once; it stays there until its outcome is known."""
        try:
            response = self._http.send(self.outbox[0].request(f"{self._user}/tasks"))
        except httpx.TransportError:
            return None
        return None if is_worth_another_try(response) else response

    def records(self, response: httpx.Response) -> None:
        """Remove the write from the outbox; later ones are based on the version that it made."""
        write = self.outbox.pop(0)
        made = self._version_made(write, response)
        if made is None:
            return
        task_id, revision = made
        self._known_revisions[task_id] = revision
        for later in self.outbox:
            if later.task_id == task_id and later.is_conditional and later.base == write.base:
                later.base = revision

    def _version_made(self, write: Write, response: httpx.Response) -> tuple[str, int] | None:
        task = response.json() if response.content else {}
        if write.kind is Kind.CREATE and response.status_code == 409:
            task = task.get("current") or task["deleted_task"]
            if any(task[name] != value for name, value in write.fields.items()):
                return None
        elif response.is_error or not task or write.kind is Kind.TOGGLE:
            return None
        return task["id"], task["revision"]

    # Reading

    def pulls(self, limit: int) -> bool | None:
        """Apply a page and its token at once; returns whether there is more, None to retry."""
        asked = {"limit": str(limit)} | ({"since": self.since} if self.since else {})
        try:
            response = self._http.get(f"{self._user}/changes", params=asked)
        except httpx.TransportError:
            return None
        if response.status_code == 410:
            self.starts_anew()
            return None
        if is_worth_another_try(response):
            return None
        assert response.status_code == 200, response.text
        page = response.json()
        if self.since is None:
            self.starts_anew()
        self._applies(page["changes"])
        self.since = page["next"]
        more: bool = page["more"]
        versions = [*self.copy.values(), *self.lists.values()]
        assert page["digest"] == (None if more else digest_of(versions)), "a bad copy"
        return more

    def starts_anew(self) -> None:
        """Drop the copy; the outbox stays."""
        self.copy.clear()
        self.lists.clear()
        self.trash.clear()
        self.since = None

    def _applies(self, changes: list[Fields]) -> None:
        for change in changes:
            if change["kind"] == "list":
                self.lists[change["list"]["id"]] = change["list"]
                continue
            if change["kind"] == "list_tombstone":
                self.lists.pop(change["id"], None)
                continue
            task = change.get("task", change)
            self.copy.pop(task["id"], None)
            self.trash.pop(task["id"], None)
            if change["kind"] == "task":
                self.copy[task["id"]] = task
            else:
                self.trash[task["id"]] = task["revision"]


def is_worth_another_try(response: httpx.Response) -> bool:
    """Whether the response asks for a retry."""
    with suppress(ValueError):
        return response.status_code == 503 or (
            response.status_code == 409
            and response.json()["type"] == "/problems#idempotency-key-in-use"
        )
    return False
