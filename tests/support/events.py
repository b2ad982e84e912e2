"""Streams of server-sent events, as a client reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import orjson

from tests.support.users import User


class Event(NamedTuple):
    """One event."""

    id: str
    data: dict[str, Any]
    retry: int | None


def event_of(lines: list[str]) -> dict[str, Any]:
    """The event of these lines, as the contract describes it."""
    fields: dict[str, Any] = dict(line.split(": ", 1) for line in lines if line)
    fields["data"] = orjson.loads(fields["data"])
    return {**fields, **({"retry": int(fields["retry"])} if "retry" in fields else {})}


class Events:
    """The events of an open response."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.read()
        self.response = response
        self.comments = 0
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        """The next event; comments before it are counted."""
        lines: list[str] = []
        while (line := self.next_line()) or not lines:
            lines += [line] if line else []
        event = event_of(lines)
        return Event(event["id"], event["data"], event.get("retry"))

    def next_line(self) -> str:
        """The next line of an event, or an empty one behind it or behind a comment."""
        line = next(self._lines)
        if line == ":":
            self.comments += 1
            return ""
        return line


@contextmanager
def streaming(user: User, token: str | None = None, **options: Any) -> Iterator[Events]:
    """An open stream of the user's changes, after the event with this id."""
    headers = {"Last-Event-ID": token} if token else {}
    headers |= options.pop("headers", {})
    url = f"/api/{user.id}/changes/stream"
    with user.stream("GET", url, headers=headers, **options) as response:
        yield Events(response)
