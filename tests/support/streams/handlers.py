"""Producers of streams, which count what they produce and how many of them are open."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from db.errors import DatabaseAway
from handlers.context import Context

Items = AsyncGenerator[dict[str, Any], None]
Events = AsyncGenerator[dict[str, Any] | None, None]

STATE = {"produced": 0, "open": 0}
TEXT = "x" * 100


async def get_state(context: Context) -> dict[str, int]:
    """What the producers did."""
    return STATE


async def list_lines(
    context: Context, count: int, pause: float, note: str, broken_at: int | None = None
) -> tuple[Items, int, dict[str, str]]:
    """Lines, one of which may break the contract."""
    return _lines(count, pause, broken_at), 200, {"X-Count": str(count), "X-Note": note}


async def list_nothing(context: Context) -> Items:
    """A failure before the first item."""
    return _failing()


async def list_slowly(context: Context) -> Items:
    """A first item that is late."""
    return _late()


async def list_events(
    context: Context, count: int, name: str, pause: float, comments: int
) -> Events | int:
    """As many events behind as many comments, or the number of events."""
    if context.media_type == "application/json":
        return count
    return _events(count, name, pause, comments)


async def _lines(count: int, pause: float, broken_at: int | None) -> Items:
    with producer():
        for number in range(count):
            if pause and number:
                await asyncio.sleep(pause)
            STATE["produced"] += 1
            yield {"number": -1 if number == broken_at else number, "text": TEXT}


async def _failing() -> Items:
    raise DatabaseAway("The database is away.")
    yield {}


async def _late() -> Items:
    with producer():
        await asyncio.sleep(60)
        yield {}


async def _events(count: int, name: str, pause: float, comments: int) -> Events:
    for _ in range(comments):
        yield None
    async for line in _lines(count, pause, None):
        yield {"event": name, "id": str(line["number"]), "data": line}


@contextmanager
def producer() -> Iterator[None]:
    """Count a producer as open while it runs."""
    STATE["open"] += 1
    try:
        yield
    finally:
        STATE["open"] -= 1
