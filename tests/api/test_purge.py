"""The purge: tasks that have been in the trash for too long are deleted for good."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db import purge as purging
from db.catalogue import CATALOGUE
from db.database import Database
from db.migrate import migrate
from db.postgres.roles import as_application
from openapi.settings import load_settings
from tests.support.databases import administration, as_owner, empty_database
from tests.support.responses import assert_problem
from tests.support.servers import PATIENT, Serve, errand
from tests.support.users import Task, User, in_trash, restored


@pytest.fixture
def carol(serve: Serve, own_database: str) -> Iterator[User]:
    """A user of that database."""
    with User(serve(DATABASE_URL=own_database)) as user:
        yield user


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(as_owner(url))
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def aged(url: str, *tasks: Task, days: float) -> None:
    """Make these deletions that many days older."""
    ids = ", ".join(f"'{task.document['id']}'" for task in tasks)
    with administration(url) as execute:
        execute(f"UPDATE tasks SET deleted_at = now() - interval '{days} days' WHERE id IN ({ids})")


def fill_trash(url: str, *, users: int, tasks_of_each: int) -> None:
    """Make users with tasks that were deleted long ago, user by user."""
    with administration(url) as execute:
        execute(f"INSERT INTO users (id) SELECT gen_random_uuid() FROM generate_series(1, {users})")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
            " SELECT users.id, gen_random_uuid(), 'x', number,"
            " now() - interval '40 days' - rank() OVER (ORDER BY users.id) * interval '1 second'"
            f" FROM users, generate_series(1, {tasks_of_each}) AS number"
        )


def purge(url: str, *flags: str) -> str:
    """What the command prints."""
    purged = errand("purge", *flags, DATABASE_URL=url)
    assert purged.returncode == 0, purged.stderr
    return purged.stdout


def test_task_in_the_trash_for_thirty_days_is_purged(carol: User, own_database: str) -> None:
    kept, fresh, old, older = (carol.creates(str(number)) for number in range(4))
    for each in (older, fresh, old):
        carol.delete(each.url)
    aged(own_database, fresh, days=29.9)
    aged(own_database, old, older, days=30.1)
    purgeable = {entry["id"]: entry["revision"] for entry in in_trash(carol)}
    known = carol.get(carol.trash).headers["etag"]

    assert purge(own_database) == "2 tasks were purged.\n"
    assert purge(own_database) == "0 tasks were purged.\n"

    left = carol.get(carol.trash, headers={"If-None-Match": known})
    assert [entry["id"] for entry in left.json()] == [fresh.document["id"]]
    assert carol.get(carol.tasks).json() == [kept.document]
    for gone in (old, older):
        assert_problem(restored(carol, gone), 404, "task-not-found")
    assert restored(carol, fresh).status_code == 200
    [(purged_revision,)] = rows(own_database, "SELECT purged_revision FROM users")
    assert purged_revision == purgeable[old.document["id"]]


def test_id_of_a_purged_task_can_be_used_again(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    body = {"title": "x", "id": task.document["id"]}
    assert_problem(carol.post(carol.tasks, json=body), 409, "id-taken")

    aged(own_database, task, days=31)
    purge(own_database)

    assert carol.post(carol.tasks, json=body).status_code == 201


def test_age_of_purged_tasks_can_be_set(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    aged(own_database, task, days=2)

    assert purge(own_database, "--trash-days", "3") == "0 tasks were purged.\n"
    assert purge(own_database, "--trash-days", "1") == "1 tasks were purged.\n"


def test_purge_deletes_the_words_of_a_task(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.get(carol.tasks, params={"q": "milk"})
    carol.delete(task.url)
    aged(own_database, task, days=31)
    assert len(rows(own_database, "SELECT FROM task_texts")) == 1

    purge(own_database)

    assert rows(own_database, "SELECT FROM task_texts") == []


def test_a_list_in_the_trash_for_thirty_days_is_purged_with_its_tasks(
    carol: User, own_database: str
) -> None:
    kept, fresh, old = (carol.creates_list(title) for title in ("kept", "fresh", "old"))
    task = carol.creates(list_id=old.document["id"])
    for each in (fresh, old):
        carol.delete(each.url)
    revision = "SELECT revision FROM lists WHERE title = 'old'"
    [(tombstone,)] = rows(own_database, revision)
    with administration(own_database) as execute:
        execute("UPDATE lists SET deleted_at = deleted_at - interval '31 days' WHERE title = 'old'")
    aged(own_database, task, days=31)
    before = carol.get(carol.lists).headers["etag"]

    assert purge(own_database) == "1 tasks were purged.\n"

    assert rows(own_database, revision) == []
    assert rows(own_database, "SELECT purged_revision FROM users") == [(tombstone,)]
    assert carol.get(carol.lists, headers={"If-None-Match": before}).json() == [kept.document]
    assert_problem(carol.post(f"{old.url}/restore"), 404, "list-not-found")
    assert carol.post(f"{fresh.url}/restore").status_code == 200
    assert carol.creates_list(id=old.document["id"]).document["id"] == old.document["id"]


def test_purge_goes_past_a_user_who_is_locked(carol: User, own_database: str) -> None:
    fill_trash(own_database, users=2, tasks_of_each=purging.BATCH_SIZE)
    purged = f"{purging.BATCH_SIZE} tasks were purged.\n"

    with administration(own_database) as execute:
        execute("BEGIN")
        execute(
            "SELECT FROM users"
            " WHERE id = (SELECT user_id FROM tasks ORDER BY deleted_at LIMIT 1) FOR UPDATE"
        )
        assert purge(own_database) == purged

    assert purge(own_database) == purged


def test_concurrent_purges_and_writes_succeed(carol: User, own_database: str) -> None:
    tombstones = 5 * purging.BATCH_SIZE
    fill_trash(own_database, users=50, tasks_of_each=tombstones // 50)
    task = carol.creates()

    with ThreadPoolExecutor(5) as pool:
        purges = [pool.submit(purge, own_database) for _ in range(3)]
        working = [pool.submit(back_and_forth, carol, task) for _ in range(2)]
    purged = sum(int(each.result().split()[0]) for each in purges)

    assert purged == tombstones
    assert {status for each in working for status in each.result()} <= {200, 204, 404}
    [(most, least)] = rows(
        own_database,
        f"SELECT max(purged_revision), min(purged_revision) FROM users WHERE id <> '{carol.id}'",
    )
    assert most == least == tombstones // 50


def back_and_forth(user: User, task: Task) -> list[int]:
    return [
        answer.status_code
        for _ in range(50)
        for answer in (user.delete(task.url), restored(user, task))
    ]


def test_purge_skips_a_user_whose_row_is_locked(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    aged(own_database, task, days=31)
    holder = psycopg2.connect(as_owner(own_database))
    with holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM users FOR UPDATE")

        assert purge(own_database) == "0 tasks were purged.\n"

    holder.close()
    assert purge(own_database) == "1 tasks were purged.\n"


def test_server_purges_in_the_background(
    carol: User, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "FIRST_DELAY", (0.0, 0.0))
    monkeypatch.setattr(purging, "DAY", 0.01)
    task = carol.creates()

    async def serve_for_a_while() -> None:
        options = load_settings(database_url=own_database, **PATIENT).pool_options()
        async with Database(options, CATALOGUE) as database:
            daily = asyncio.create_task(purging.purge_daily(database, 30))
            await asyncio.sleep(0.3)
            carol.delete(task.url)
            aged(own_database, task, days=31)
            async with asyncio.timeout(10):
                while rows(own_database, "SELECT FROM tasks"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            daily.cancel()

    asyncio.run(serve_for_a_while())


def test_purge_needs_its_privilege(own_database: str) -> None:
    [(everyone,)] = rows(
        own_database,
        "SELECT has_function_privilege('public', 'purge_trash(interval, integer)', 'execute')",
    )

    assert not everyone


def test_purge_of_the_trash_works_for_an_owner_who_is_no_superuser(postgres_url: str) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate(url)
    with administration(url) as execute:
        execute("INSERT INTO users (id) VALUES (gen_random_uuid())")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
            " SELECT id, gen_random_uuid(), 'x', revision, now() - interval '40 days' FROM users"
        )

    assert purge(as_application(url)) == "1 tasks were purged.\n"

    assert rows(url, "SELECT FROM tasks") == []
