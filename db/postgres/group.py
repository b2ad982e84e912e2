"""A group of calls: one statement to the database, one transaction, one result for each call."""

import asyncio
from dataclasses import dataclass
from typing import Any

from db.postgres.connection import Connection, Row

Document = Any
"""The result of a statement: any JSON value."""


@dataclass(slots=True, eq=False)
class Call:
    """One call of a statement."""

    arguments: bytes
    owner: int
    deadline: float
    result: "asyncio.Future[Document]"
    group: "Group | None" = None
    was_put_back: bool = False

    @property
    def was_grouped(self) -> bool:
        """Whether it was sent together with other calls."""
        return self.group is not None and self.group.has_several

    def fail(self, error: BaseException) -> None:
        """Raise the error for the caller, unless the call has ended."""
        if not self.result.done():
            self.result.set_exception(error)


class Group:
    """Calls that take effect together, or not at all."""

    __slots__ = ("calls", "connection", "counting", "has_several", "rows")

    def __init__(
        self, calls: list[Call], rows: "asyncio.Future[list[Row]]", connection: Connection
    ) -> None:
        self.calls = calls
        self.rows = rows
        self.connection = connection
        self.has_several = len(calls) > 1
        self.counting: asyncio.TimerHandle | None = None
        """The timer that ends the time for which the group counts as running."""
        for call in calls:
            call.group = self

    def cancel_if_abandoned(self) -> None:
        """Cancel the statement if the caller of every call was cancelled."""
        if all(call.result.done() for call in self.calls):
            self.rows.cancel()

    def distribute(self) -> list[Call]:
        """Give each call its row; return the calls that the function did not reach in time."""
        rows = self.rows.result()
        for call, (document,) in zip(self.calls, rows, strict=False):
            if not call.result.done():
                call.result.set_result(document)
        return self.calls[len(rows) :]
