"""A group of calls: one statement to the database, one transaction, one result for each call."""

import asyncio
from dataclasses import dataclass
from typing import Any

from db.postgres.connection import Connection, Row

Document = Any
"""What a statement returns, as JSON."""


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
    def had_company(self) -> bool:
        """Whether it was sent with others."""
        return self.group is not None and self.group.has_company

    def fail(self, error: BaseException) -> None:
        """It was not executed, or it is unknown whether it was."""
        if not self.result.done():
            self.result.set_exception(error)


class Group:
    """Calls that take effect together, or not at all."""

    __slots__ = ("awaited", "calls", "connection", "has_company", "rows")

    def __init__(
        self, calls: list[Call], rows: "asyncio.Future[list[Row]]", connection: Connection
    ) -> None:
        self.calls = calls
        self.rows = rows
        self.connection = connection
        self.has_company = len(calls) > 1
        self.awaited: asyncio.TimerHandle | None = None
        """Ends the time for which other calls wait for this group to end."""
        for call in calls:
            call.group = self

    def leave(self) -> None:
        """A caller has gone; once all have, the statement is cancelled."""
        if all(call.result.done() for call in self.calls):
            self.rows.cancel()

    def hand_out(self) -> list[Call]:
        """Give each call its row; returns the calls for which there was no time."""
        rows = self.rows.result()
        for call, (document,) in zip(self.calls, rows, strict=False):
            if not call.result.done():
                call.result.set_result(document)
        return self.calls[len(rows) :]
