"""What it costs to take a group from a queue does not depend on how many calls wait."""

import asyncio
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from db.postgres.calls import ReadCalls, WriteCalls
from db.postgres.group import Call
from db.postgres.owner_locks import OwnerLocks

GROUP = 16


def steps(action: Callable[[], Any]) -> int:
    """How many instructions Python executes for the action: unlike a time, always the same."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


async def steps_to_take_a_group(kind: str, waiting: int) -> int:
    calls = ReadCalls() if kind == "read" else WriteCalls(OwnerLocks(), lambda: None)
    loop = asyncio.get_running_loop()
    for number in range(waiting):
        calls.add(Call(b"{}", number, 0.0, loop.create_future()))
    return steps(lambda: calls.take(GROUP))


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_group_is_taken_from_a_long_queue_as_fast_as_from_a_short_one(kind: str) -> None:
    few, many = (asyncio.run(steps_to_take_a_group(kind, waiting)) for waiting in (100, 10_000))

    assert 0 < many <= few
