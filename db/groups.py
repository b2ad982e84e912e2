"""Requests that come at the same time share a trip to the database, and a commit.

Whatever waits for a connection is sent together once there is one: the busier the database, the
more of it, and what comes alone goes alone. Each statement still names its own owner to the
policies. A group that cannot be done as a whole has no effect, and each of its statements is then
run alone.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg2

from db.compiled import OWNER, Statement
from db.connection import Connection, Row
from db.errors import ConnectionLost, DatabaseAway, StatementTimedOut
from db.pipeline import Call, Undone
from db.pool import UNCERTAIN, Pool
from db.statements import TELL_OWNER, TELL_OWNER_OF_SEVERAL

MOST = 16
MOST_PAGES = 4

Document = Any
"""What a statement returns, as JSON."""


def document_in(rows: list[Row]) -> Document:
    """The one that a statement has returned, or None."""
    return rows[0][0] if rows else None


@dataclass(slots=True, eq=False)
class Job:
    """A statement that somebody waits for."""

    call: Call
    owner: UUID
    deadline: float
    answer: "asyncio.Future[bytes | None]"
    group: "Group | None" = None

    @property
    def has_company(self) -> bool:
        """Whether it is done together with others."""
        return self.group is not None and len(self.group.jobs) > 1

    def fail(self, error: BaseException) -> None:
        """It was not done, or nobody knows whether it was."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Group:
    """Jobs that take effect together, or not at all."""

    def __init__(self, jobs: list[Job], answers: "asyncio.Future[list[bytes | None]]") -> None:
        self.jobs = jobs
        self._answers = answers
        answers.add_done_callback(self._hand_out)

    def leave(self) -> None:
        """Somebody has gone; once all have, it is cancelled."""
        if all(job.answer.done() for job in self.jobs):
            self._answers.cancel()

    def _hand_out(self, answers: "asyncio.Future[list[bytes | None]]") -> None:
        if answers.cancelled():
            return
        if error := answers.exception():
            for job in self.jobs:
                job.fail(error)
            return
        for job, answer in zip(self.jobs, answers.result()[1::2], strict=True):
            if not job.answer.done():
                job.answer.set_result(answer)


class Gathering:
    """Jobs that wait for a connection; one task gets it for all that have come by then."""

    def __init__(self, pool: Pool, *, leads_several: Statement, most: int) -> None:
        self._pool = pool
        self._leads_several = leads_several
        self._most = most
        self._jobs: deque[Job] = deque()
        self._sending: asyncio.Task[None] | None = None

    def add(self, statement: Statement, values: dict[str, Any]) -> Job:
        """Somebody wants it done."""
        loop = asyncio.get_running_loop()
        call, owner = statement.call(values), values[OWNER]
        job = Job(call, owner, self._pool.deadline(), loop.create_future())
        self._jobs.append(job)
        if self._sending is None:
            self._sending = loop.create_task(self._send())
        return job

    async def _send(self) -> None:
        try:
            while self._jobs:
                if len(self._jobs) == 1 and self._pool.has_free:
                    # There is nobody to go with, and psycopg2's own way is the quicker one.
                    self._jobs.popleft().fail(Undone())
                    continue
                try:
                    connection = await self._pool.acquire(self._jobs[0].deadline)
                except DatabaseAway as refusal:
                    self._refuse(refusal)
                    continue
                if jobs := self._taken():
                    self._begin(jobs, connection)
                else:
                    self._pool.release(connection)
        finally:
            self._sending = None

    def _begin(self, jobs: list[Job], connection: Connection) -> None:
        """Send them; whatever comes of it, the connection is released."""
        answers = connection.fetch_together([*self._calls(jobs)])
        answers.add_done_callback(lambda _: self._pool.release(connection))
        group = Group(jobs, answers)
        for job in jobs:
            job.group = group

    def _refuse(self, refusal: DatabaseAway) -> None:
        """Whoever has waited the longest gets no connection, nor does who has waited too long."""
        now = asyncio.get_running_loop().time()
        self._jobs.popleft().fail(refusal)
        while self._jobs and self._jobs[0].deadline < now:
            self._jobs.popleft().fail(refusal)

    def _taken(self) -> list[Job]:
        """As many as make a group, less those who have gone; in the order of their locks."""
        waiting = [job for job in self._jobs if not job.answer.done()]
        self._jobs = deque(waiting[self._most :])
        return sorted(waiting[: self._most], key=lambda job: job.owner.int)

    def _calls(self, jobs: list[Job]) -> Iterator[Call]:
        """Each job's, and ahead of it what tells the policies for whom."""
        tell = self._leads_several if len(jobs) > 1 else TELL_OWNER
        for job in jobs:
            yield tell.call({"owner": job.owner})
            yield job.call
            tell = TELL_OWNER


class Groups:
    """Runs statements of a user's that return a JSON document each.

    Who reads does not go with those who write, and may wait for a lock; nor does who reads one task
    go with those who look through many.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._writes = Gathering(pool, leads_several=TELL_OWNER_OF_SEVERAL, most=MOST)
        self._reads = Gathering(pool, leads_several=TELL_OWNER, most=MOST)
        self._pages = Gathering(pool, leads_several=TELL_OWNER, most=MOST_PAGES)

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> Document:
        """What one statement returns, which takes effect with others or alone."""
        if not self.pool.prepares:
            return await self._alone(statement, values)
        job = self._gathering(statement).add(statement, values)
        try:
            answer = await job.answer
        except asyncio.CancelledError:
            if job.group is not None:
                job.group.leave()
            raise
        except Undone:
            return await self._alone(statement, values)
        except StatementTimedOut:
            # Together they may take longer than each may alone.
            if statement.only_reads and job.has_company:
                return await self._alone(statement, values)
            raise
        except psycopg2.Error as error:
            if statement.only_reads:
                return await self._alone(statement, values)
            raise ConnectionLost(f"The connection to the database broke. {UNCERTAIN}") from error
        return None if answer is None else orjson.loads(answer)

    def _gathering(self, statement: Statement) -> Gathering:
        if not statement.only_reads:
            return self._writes
        return self._pages if statement.finds_many else self._reads

    async def _alone(self, statement: Statement, values: dict[str, Any]) -> Document:
        return document_in(await self.pool.fetch(statement, **values))
