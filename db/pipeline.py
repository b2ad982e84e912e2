"""Several prepared statements in one round trip, as one transaction."""

from collections.abc import Sequence
from ctypes import c_char_p
from typing import NamedTuple

import psycopg2

from db import libpq


class Undone(Exception):
    """The statements have had no effect: one of them failed, or they were not sent."""


class Call(NamedTuple):
    """A prepared statement, and its values as PostgreSQL reads them."""

    name: bytes
    values: list[bytes | None]


class Pipeline:
    """Sends its calls at once; they take effect together or not at all.

    PostgreSQL takes all that comes before the end for one transaction, and answers at its end.
    Until then psycopg2, which knows nothing of pipelines, must leave the connection alone.
    """

    def __init__(self, connection: int, calls: Sequence[Call]) -> None:
        self._connection = connection
        self._answers: list[bytes | None] = []
        self._failed = False
        self._follows_a_result = True
        self._must(libpq.enter_pipeline(connection))
        for name, values in calls:
            count = len(values)
            texts = (c_char_p * count)(*values)
            self._must(libpq.send_prepared(connection, name, count, texts, None, None, 0))
        self._must(libpq.end_transaction(connection))

    def flush(self) -> bool:
        """Send as much as the socket takes, and say whether that was all."""
        left: int = libpq.flush(self._connection)
        self._must(left >= 0)
        return not left

    def advance(self) -> list[bytes | None] | None:
        """Take what has come; once that is all, the first value that each call has returned.

        A call that has returned no row has None.
        """
        self._must(libpq.consume_input(self._connection))
        while not libpq.is_busy(self._connection):
            result = libpq.get_result(self._connection)
            # Nothing stands behind each result; behind nothing, it is the end of the connection.
            self._must(result or self._follows_a_result)
            self._follows_a_result = bool(result)
            if result and self._take(result):
                return self._ended()
        return None

    def _ended(self) -> list[bytes | None]:
        self._must(libpq.leave_pipeline(self._connection))
        if self._failed:
            raise Undone
        return self._answers

    def _take(self, result: int) -> bool:
        """Note what a call has returned, and say whether it was the end instead."""
        status = libpq.result_status(result)
        if status == libpq.HAS_ROWS and libpq.row_count(result):
            self._answers.append(libpq.value_at(result, 0, 0))
        elif status in (libpq.HAS_ROWS, libpq.HAS_NO_ROWS):
            self._answers.append(None)
        elif status in (libpq.HAS_FAILED, libpq.IS_SKIPPED):
            self._failed = True
        libpq.clear(result)
        return bool(status == libpq.IS_END)

    def _must(self, succeeded: object) -> None:
        if not succeeded:
            told = libpq.error_message(self._connection).decode(errors="replace")
            raise psycopg2.OperationalError(told)
