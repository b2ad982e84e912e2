"""The exports and imports of this process."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from db.database import Database
from db.transfers import exports, imports, staging
from db.transfers.imports import Result
from db.transfers.lines import Lines
from db.transfers.room import Room
from db.transfers.stamps import Limits


class Transfers:
    """Reads and writes all that a user has, for a few users at a time."""

    def __init__(self, database: Database, room: Room) -> None:
        self._database = database
        self._room = room

    async def exported(
        self, user_id: UUID, *, with_trash: bool
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of an export of one moment."""
        lines = exports.lines(self._database, user_id, with_trash=with_trash)
        async with self._room.place(), aclosing(lines):
            async for line in lines:
                yield line

    async def imported(
        self, user_id: UUID, lines: Lines, limits: Limits, *, dry_run: bool
    ) -> Result:
        """Import all of the lines, or none and raise `LinesRefused`; a dry run imports none."""
        with staging.Stage() as stage:
            await stage.fill(lines)
            async with self._room.place():
                return await imports.run(self._database, user_id, stage, limits, dry_run=dry_run)
