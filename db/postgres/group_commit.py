"""Requests that come at the same time share a trip to the database, and a commit.

Whatever comes with the same statement while the database is busy with it is done together next:
the busier the database, the more of it. Each call still names its own owner to the policies. A
group that cannot be done as a whole has no effect, and each of its calls is then made alone; so are
those for which it has no time.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg2

from db.errors import ConnectionLost, DatabaseAway, StatementTimedOut, Unavailable
from db.owner import OWNER
from db.postgres.connection import Connection, Row
from db.postgres.failures import UNCERTAIN, had_no_effect
from db.postgres.pool import Pool
from db.postgres.statement import Access, Statement


class Bounds(NamedTuple):
    """How many calls make a full group, and how many groups are awaited by one that is not full."""

    most: int
    awaited: int


# Who writes by turns needs fewer commits, and less of PostgreSQL's time, than who writes at once.
# It takes two groups of gets to keep both PostgreSQL and the server at work, of pages one.
WRITES = Bounds(most=64, awaited=1)
READS = Bounds(most=16, awaited=2)
PAGES = Bounds(most=16, awaited=1)

# It takes more than most groups do; one that takes longer waits for a lock, or a disk far away, or
# looks through many tasks, and to wait for that would gain nobody anything.
LONGEST_AWAITED = 0.003

MOST_GATHERINGS = 128

Document = Any
"""What a statement returns, as JSON."""


def document_in(rows: list[Row]) -> Document:
    """The one that a statement has returned, or None."""
    return rows[0][0] if rows else None


class Undone(Exception):
    """A call had no effect: another of its group failed, or there was no time for it left."""


@dataclass(slots=True, eq=False)
class Job:
    """A call of a statement that somebody waits for."""

    call: bytes
    owner: UUID
    deadline: float
    answer: "asyncio.Future[Document]"
    group: "Group | None" = None

    def fail(self, error: BaseException) -> None:
        """It was not done, or nobody knows whether it was."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Group:
    """Jobs that take effect together, or not at all."""

    def __init__(
        self,
        jobs: list[Job],
        answers: "asyncio.Future[list[Row]]",
        pool: Pool,
        connection: Connection,
    ) -> None:
        """Whatever comes of them, the connection is released."""
        self.has_company = len(jobs) > 1
        self._jobs = jobs
        self._answers = answers
        self._pool = pool
        self._connection = connection
        for job in jobs:
            job.group = self
        answers.add_done_callback(self._hand_out)

    def leave(self) -> None:
        """Somebody has gone; once all have, it is cancelled."""
        if all(job.answer.done() for job in self._jobs):
            self._answers.cancel()

    def _hand_out(self, answers: "asyncio.Future[list[Row]]") -> None:
        self._pool.release(self._connection)
        # Else they stay, with their answers, until Python looks for cycles.
        jobs, self._jobs = self._jobs, []
        if answers.cancelled():
            return
        if error := answers.exception():
            if had_no_effect(error, lost=self._connection.lost):
                error = Undone()
            for job in jobs:
                job.fail(error)
            return
        done = answers.result()
        for job, (document,) in zip(jobs, done, strict=False):
            if not job.answer.done():
                job.answer.set_result(document)
        for job in jobs[len(done) :]:
            job.fail(Undone())


class Gathering:
    """Jobs that wait for company and a connection; one task gets it for all that have come."""

    def __init__(self, pool: Pool, statement: Statement) -> None:
        assert statement.returns_document, statement.name
        self._pool = pool
        self._statement = statement
        self._bounds = _bounds(statement)
        self._jobs: deque[Job] = deque()
        self._awaited: dict[asyncio.Future[list[Row]], asyncio.TimerHandle] = {}
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether calls wait to be sent, or for their results."""
        return bool(self._jobs or self._awaited or self._sending)

    def add(self, values: dict[str, Any]) -> Job:
        """Somebody wants it done."""
        loop = asyncio.get_running_loop()
        call = orjson.dumps(values)
        job = Job(call, values[OWNER], self._pool.deadline(), loop.create_future())
        self._jobs.append(job)
        self._go_on()
        return job

    def _go_on(self) -> None:
        if self._sending is None and self._is_time():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def _is_time(self) -> bool:
        """Whether those who wait would wait for nothing."""
        most, awaited = self._bounds
        return len(self._jobs) >= (most if len(self._awaited) >= awaited else 1)

    async def _send(self) -> None:
        try:
            while self._is_time():
                try:
                    connection = await self._pool.acquire(self._jobs[0].deadline)
                except DatabaseAway as refusal:
                    self._refuse(refusal)
                    continue
                jobs = self._taken()
                if jobs and await self._can_run_on(connection):
                    self._begin(jobs, connection)
                else:
                    self._pool.release(connection)
                    for job in jobs:
                        job.fail(Undone())
        finally:
            self._sending = None

    async def _can_run_on(self, connection: Connection) -> bool:
        """Whether the connection has the statement's function; the first time, it is made."""
        if connection.has_functions and connection.lacks(self._statement):
            try:
                await connection.prepare(self._statement)
            except (psycopg2.Error, Unavailable):
                return False
        return connection.has_functions

    def _begin(self, jobs: list[Job], connection: Connection) -> None:
        calls = b",".join(job.call for job in jobs).decode()
        answers = connection.fetch(self._statement.prepared_for_each, {"calls": f"[{calls}]"})
        loop = asyncio.get_running_loop()
        self._awaited[answers] = loop.call_later(LONGEST_AWAITED, self._await_no_more, answers)
        # Ahead of those who hand out the answers, so that the database need not wait for that.
        answers.add_done_callback(self._await_no_more)
        Group(jobs, answers, self._pool, connection)

    def _await_no_more(self, answers: "asyncio.Future[list[Row]]") -> None:
        """They have come, or are long in coming."""
        if timer := self._awaited.pop(answers, None):
            timer.cancel()
            self._go_on()

    def _refuse(self, refusal: DatabaseAway) -> None:
        """Whoever has waited the longest gets no connection, nor does who has waited too long."""
        now = asyncio.get_running_loop().time()
        self._jobs.popleft().fail(refusal)
        while self._jobs and self._jobs[0].deadline < now:
            self._jobs.popleft().fail(refusal)

    def _taken(self) -> list[Job]:
        """As many as make a group, less those who have gone; in the order of their locks."""
        waiting = [job for job in self._jobs if not job.answer.done()]
        self._jobs = deque(waiting[self._bounds.most :])
        return sorted(waiting[: self._bounds.most], key=lambda job: job.owner.int)


def _bounds(statement: Statement) -> Bounds:
    if statement.finds_many:
        return PAGES
    return READS if statement.access is Access.READ else WRITES


class Groups:
    """Runs statements of a user's that return a JSON document each."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._gatherings: dict[str, Gathering] = {}

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> Document:
        """What one statement returns, which takes effect with others or alone."""
        if not self.pool.runs_groups:
            return await self._alone(statement, values)
        job = self._gathering(statement).add(values)
        try:
            return await job.answer
        except asyncio.CancelledError:
            if job.group is not None:
                job.group.leave()
            raise
        except Undone:
            return await self._alone(statement, values)
        except StatementTimedOut:
            # It may have been another of the group that took the time.
            if statement.access is Access.READ and job.group is not None and job.group.has_company:
                return await self._alone(statement, values)
            raise
        except psycopg2.Error as error:
            if statement.access is Access.READ:
                return await self._alone(statement, values)
            raise ConnectionLost(f"The connection to the database broke. {UNCERTAIN}") from error

    def _gathering(self, statement: Statement) -> Gathering:
        gathering = self._gatherings.get(statement.name)
        if gathering is None:
            if len(self._gatherings) >= MOST_GATHERINGS:
                self._drop_idle()
            gathering = self._gatherings[statement.name] = Gathering(self.pool, statement)
        return gathering

    def _drop_idle(self) -> None:
        """Forget those that run nothing: there are as many statements as lists have shapes."""
        self._gatherings = {name: each for name, each in self._gatherings.items() if each.is_busy}

    async def _alone(self, statement: Statement, values: dict[str, Any]) -> Document:
        return document_in(await self.pool.fetch(statement, **values))
