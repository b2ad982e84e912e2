"""Whether a history of one task is linearizable: Wing and Gong's search, with memory.

A history is linearizable if each of its calls can be given a moment between its beginning and its
end, so that one after another they would have gone as they went.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.proof.clients import Kind

OK, DELETED, ABSENT, CHANGED = 200, 204, 404, 412


class State(NamedTuple):
    """A task; the revision of a deleted one is unknown, but it is a later one."""

    revision: int
    title: str
    completed: bool
    deleted: bool = False


@dataclass(frozen=True)
class Call:
    """A request, its time, and the task in its response; reads have no kind."""

    kind: Kind | None
    began: float
    ended: float
    status: int
    shown: State | None = None
    title: str = ""
    base: int | None = None

    def after(self, state: State) -> State | None:
        """The task after the call, or None if the call cannot have happened then."""
        if self.status == ABSENT:
            return state if state.deleted else None
        if self.status == CHANGED:
            return state if self._shows(state) and state.revision != self.base else None
        if self.kind is None or (self.kind is Kind.RESTORE and not state.deleted):
            return state if self._shows(state) else None
        if self.base is not None and self.base != state.revision:
            return None
        return self._written(state)

    def _shows(self, state: State) -> bool:
        return not state.deleted and self.shown == state

    def _written(self, state: State) -> State | None:
        if state.deleted is not (self.kind is Kind.RESTORE):
            return None
        if self.kind is Kind.DELETE:
            return state._replace(deleted=True)
        assert self.shown is not None
        wanted = State(
            self.shown.revision,
            self.title if self.kind is Kind.UPDATE else state.title,
            state.completed is not (self.kind is Kind.TOGGLE),
        )
        return wanted if self.shown == wanted and wanted.revision > state.revision else None


def is_linearizable(first: State, calls: list[Call]) -> bool:
    """Whether the calls have an order that explains every response."""
    calls = sorted(calls, key=lambda call: call.began)
    paths = [(first, frozenset(range(len(calls))))]
    seen = set(paths)
    while paths:
        state, left = paths.pop()
        if not left:
            return True
        for path in _steps(calls, state, left):
            if path not in seen:
                seen.add(path)
                paths.append(path)
    return False


def _steps(
    calls: list[Call], state: State, left: frozenset[int]
) -> Iterator[tuple[State, frozenset[int]]]:
    """Each call that can be next: no remaining call ended before it began."""
    first_end = min(calls[each].ended for each in left)
    possible = [each for each in left if calls[each].began <= first_end]
    after = [(each, calls[each].after(state)) for each in possible]
    # A call without effect can be taken at once: that excludes no other order.
    idle = {each for each, then in after if then == state}
    if idle:
        yield state, left - idle
        return
    for each, then in after:
        if then is not None:
            yield then, left - {each}
