"""Statements, a pool that runs them, and an observer outside of the pool."""

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg2
import pytest
import uvloop
from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)

from db.postgres.pool import Pool
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Access, Statement
from db.schema import clauses
from db.schema.tables import OWNED_TABLES
from db.tasks import creating, statements
from tests.support.network import way_to

MOMENT = 0.05
PROMPT = 5
"""Seconds: far less than what would be waited for otherwise; slow machines take longer than we."""

notes = Table("notes", MetaData(), Column("text", Text), Column("counter", Integer))

_text = bindparam("text", type_=Text)
_seconds = bindparam("seconds", type_=Float)
_sleep = func.pg_sleep(_seconds)

ECHO = Statement("echo", select(_text.label("text")), Access.READ)
WHO = Statement("who", select(func.pg_backend_pid().label("pid")), Access.READ)
NAP = Statement(
    "nap", select(func.pg_backend_pid().label("pid"), _sleep.label("slept")), Access.READ
)
NAP_LOCKED = Statement(
    "nap_locked", select(func.pg_backend_pid().label("pid"), _sleep.label("slept")), Access.LOCK
)
WRITE = Statement("write", insert(notes).values(text=_text).returning(notes.c.text), Access.WRITE)
WRITE_SLOWLY = Statement(
    "write_slowly",
    insert(notes).from_select(["text"], select(_text).select_from(_sleep)).returning(notes.c.text),
    Access.WRITE,
)
_counted = update(notes).where(notes.c.text == _text).values(counter=notes.c.counter + clauses.ONE)
COUNT = Statement("count_up", _counted.returning(notes.c.counter), Access.WRITE)
COUNT_TWO = Statement(
    "count_two",
    select(func.count_two(_text, bindparam("other", type_=Text)).label("done")),
    Access.WRITE,
)
_stumble = func.stumble(bindparam("code", type_=Text), bindparam("times", type_=Integer))
STUMBLE = Statement("stumble", select(_stumble.label("pid")), Access.READ)
FAR_FUTURE = Statement(
    "far", select(literal_column("timestamptz '20000-01-01'").label("moment")), Access.READ
)

# The same as documents of one user, which can run in groups.
_owner = func.current_setting(literal_column("'errand.user_id'", Text), clauses.TRUE)
_has_owner = bindparam("user_id", type_=Uuid).is_not(None)
_as_document = func.to_json(notes.c.text, type_=JSON)
_noted = insert(notes).from_select(["text"], select(_text).where(_has_owner))
_noted_late = insert(notes).from_select(
    ["text"], select(_text).select_from(_sleep).where(_has_owner)
)
_noted_or_not = insert(notes).from_select(
    ["text", "counter"], select(_text, _stumble).where(_has_owner)
)
_spoken = func.json_build_array(_text, _owner, func.pg_backend_pid(), func.now(), type_=JSON)
_spoken_late = func.to_json(_text, type_=JSON)
SAY = Statement("say", select(_spoken).where(_has_owner), Access.READ)
SAY_LATE = Statement(
    "say_late", select(_spoken_late).select_from(_sleep).where(_has_owner), Access.READ
)
NOTE = Statement("note", _noted.returning(_as_document), Access.WRITE)
NOTE_LATE = Statement("note_late", _noted_late.returning(_as_document), Access.WRITE)
NOTE_UNLESS_IT_STUMBLES = Statement(
    "note_unless_it_stumbles", _noted_or_not.returning(_as_document), Access.WRITE
)
COUNT_ON = Statement(
    "count_on",
    _counted.where(_has_owner).returning(func.to_json(notes.c.counter, type_=JSON)),
    Access.WRITE,
)
CATALOGUE = [
    *(SAY, SAY_LATE, NOTE, NOTE_LATE, NOTE_UNLESS_IT_STUMBLES, COUNT_ON),
    *(ECHO, WHO, NAP, NAP_LOCKED, WRITE, WRITE_SLOWLY, COUNT, COUNT_TWO, STUMBLE, FAR_FUTURE),
    *(creating.CREATE_WITH_USER, statements.GET, statements.UPDATE, statements.TOGGLE),
]

SCHEMA = """
CREATE TABLE notes (text text, counter integer NOT NULL DEFAULT 0);
CREATE SEQUENCE stumbles;
-- A sequence remembers what a transaction that was rolled back has forgotten.
CREATE FUNCTION stumble(code text, times integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('stumbles') <= times THEN
        RAISE EXCEPTION 'stumbled' USING ERRCODE = code;
    END IF;
    RETURN pg_backend_pid();
END $$;
CREATE FUNCTION count_two(one text, other text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE notes SET counter = counter + 1 WHERE text = one;
    UPDATE notes SET counter = counter + 1 WHERE text = other;
    RETURN true;
END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused';
END $$;
CREATE CONSTRAINT TRIGGER refused_by_the_commit AFTER INSERT ON notes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.text = 'refused by the commit') EXECUTE FUNCTION refuse();
GRANT ALL ON notes, stumbles TO errand_app;
GRANT SET ON PARAMETER deadlock_timeout TO errand_app;
"""


class Observer:
    """Looks at the server from outside of the pool, and meddles with its connections."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url, application_name="observer")
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()

    def ask(self, sql: str, *values: Any) -> list[Any]:
        """The first column of what a statement returns."""
        self.cursor.execute(sql, values)
        return [row[0] for row in self.cursor.fetchall()] if self.cursor.description else []

    def pids(self, state: str = "%") -> list[int]:
        """The server processes that work for the pool."""
        return self.ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'errand%%' AND state LIKE %s",
            state,
        )

    def kill(self, state: str = "%") -> None:
        """End the server processes in that state, and see to it that there were some."""
        pids = self.pids(state)
        assert pids
        self.ask("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", pids)

    def note(self, text: str) -> None:
        self.ask("INSERT INTO notes (text) VALUES (%s)", text)

    def written(self, text: str) -> int:
        """How many notes have this text."""
        return len(self.ask("SELECT 1 FROM notes WHERE text = %s", text))


@asynccontextmanager
async def pool_of(size: int, url: str, **options: Any) -> AsyncIterator[Pool]:
    """An open pool, all of its connections made."""
    async with connecting_pool(size, url, **options) as pool:
        await eventually(lambda: len(pool._free) == size, within=10)
        yield pool


@asynccontextmanager
async def connecting_pool(
    size: int,
    url: str,
    *,
    connect: float = 1,
    wait: float = 10,
    overload: float = 10,
    timeout: float = 10,
    prepare: bool = True,
) -> AsyncIterator[Pool]:
    """An open pool, which may have no connections yet."""
    with way_to(url, prepare=prepare) as way:
        async with _opened(
            PoolOptions(
                url=way,
                size=size,
                connect_timeout=connect,
                wait_timeout=wait,
                overload_timeout=overload,
                statement_timeout=timeout,
            )
        ) as pool:
            yield pool


@asynccontextmanager
async def _opened(options: PoolOptions) -> AsyncIterator[Pool]:
    pool = Pool(options, CATALOGUE, OWNED_TABLES)
    pool.open()
    try:
        yield pool
    finally:
        await pool.close()


async def eventually(condition: Callable[[], bool], within: float = 20) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, inspect.getsource(condition)
        await asyncio.sleep(0.01)


async def running(server: Observer, number: int = 1) -> list[int]:
    """The server processes that run statements of the pool, once there are so many."""
    await eventually(lambda: len(server.pids("active")) >= number)
    return server.pids("active")


async def prompt_results(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """The results of the calls, or their errors; all must come promptly."""
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PROMPT)


async def abandoned(work: Coroutine[Any, Any, Any], after: float = MOMENT) -> None:
    """Begin it, and cancel it after some time."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(after)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def on_both_loops(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on the loop that production uses, and if long, on asyncio's own."""

    @functools.wraps(scenario)
    def test(run: Callable[[Coroutine[Any, Any, None]], None], **fixtures: Any) -> None:
        run(scenario(**fixtures))

    asked = inspect.signature(scenario).parameters.values()
    run = inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY)
    test.__signature__ = inspect.Signature([*asked, run])  # type: ignore[attr-defined]
    on_asyncio = pytest.param(asyncio.run, id="asyncio", marks=pytest.mark.long)
    loops = pytest.mark.parametrize("run", [on_asyncio, pytest.param(uvloop.run, id="uvloop")])
    parametrised: Callable[..., None] = loops(test)
    return parametrised


in_both_modes = pytest.mark.parametrize("prepare", [True, False], ids=["prepared", "plain"])
