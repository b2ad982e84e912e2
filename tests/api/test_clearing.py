"""All completed tasks go to the trash at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psycopg2
import pytest

from tests.support.databases import as_owner
from tests.support.feed import Copy
from tests.support.races import Servers, wait_for
from tests.support.responses import assert_faults
from tests.support.users import User, in_trash


def cleared(user: User, **headers: str) -> httpx.Response:
    return user.delete(user.tasks, params={"completed": True}, headers=headers)


def titles(user: User) -> set[str]:
    return {task["title"] for task in user.get(user.tasks).json()}


def test_completed_tasks_are_moved_to_the_trash(alice: User) -> None:
    alice.creates("open")
    for number in range(3):
        alice.creates(f"done {number}", completed=True)

    response = cleared(alice)

    assert (response.status_code, response.json()) == (200, {"deleted": 3})
    assert titles(alice) == {"open"}
    assert {each["title"] for each in in_trash(alice)} == {"done 0", "done 1", "done 2"}
    assert cleared(alice).json() == {"deleted": 0}


def test_each_cleared_task_has_a_revision_and_a_moment_of_its_own(alice: User) -> None:
    for number in range(5):
        alice.creates(str(number), completed=True)
    copy = Copy(alice)
    copy.catches_up()

    cleared(alice)

    trash = alice.get(alice.trash, params={"sort": "updated_at"}).json()
    assert [each["updated_at"] for each in trash] == [each["deleted_at"] for each in trash]
    assert len({each["updated_at"] for each in trash}) == 5
    assert [each["revision"] for each in trash] == sorted({each["revision"] for each in trash})
    copy.catches_up(limit=2)
    assert copy.tasks == {}


@pytest.mark.parametrize("query", ["", "?completed=false", "?completed=true&priority=low"])
def test_nothing_is_cleared_without_exactly_this_filter(alice: User, query: str) -> None:
    alice.creates("done", completed=True)

    response = alice.delete(alice.tasks + query)

    assert_faults(response, "priority" if "priority" in query else "completed")
    assert titles(alice) == {"done"}


def test_clearing_with_a_key_is_done_once(alice: User) -> None:
    alice.creates("done", completed=True)
    first = cleared(alice, **{"Idempotency-Key": "clear-1"})
    alice.creates("done later", completed=True)

    again = cleared(alice, **{"Idempotency-Key": "clear-1"})

    assert first.json() == again.json() == {"deleted": 1}
    assert titles(alice) == {"done later"}


def test_what_is_reopened_meanwhile_is_never_cleared(server: str, alice: User) -> None:
    tasks = [alice.creates(str(number), completed=True) for number in range(20)]

    def reopen() -> set[str]:
        with User(server) as other:  # of the same user: httpx clients are not shared by threads
            changed = [other.patch(task.url, json={"completed": False}) for task in tasks]
        return {each.json()["title"] for each in changed if each.status_code == 200}

    with ThreadPoolExecutor(3) as pool:
        reopened = pool.submit(reopen)
        counts = [pool.submit(cleared, alice) for _ in range(10)]
    deleted = sum(each.result().json()["deleted"] for each in counts)

    assert titles(alice) == reopened.result()
    assert deleted == 20 - len(reopened.result())


def test_tasks_are_cleared_as_they_are_at_one_moment(servers: Servers, alice: User) -> None:
    reopened = alice.creates("reopened", completed=True)
    completed = alice.creates("completed")

    with (
        closing(psycopg2.connect(as_owner(servers.database_url))) as another,
        another.cursor() as cursor,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor.execute("UPDATE users SET revision = revision + 2 WHERE id = %s", [alice.id])
        clearing = pool.submit(cleared, alice)
        wait_for(servers.database_url, 1)
        cursor.execute(
            "UPDATE tasks SET completed = NOT completed, revision = revision + 2"
            " WHERE user_id = %s AND id IN (%s, %s)",
            [alice.id, *(task.document["id"] for task in (reopened, completed))],
        )
        another.commit()

    assert clearing.result().json() == {"deleted": 1}
    assert titles(alice) == {"reopened"}


def test_one_user_clears_no_other_users_tasks(alice: User, bob: User) -> None:
    alice.creates("done", completed=True)

    assert cleared(bob).json() == {"deleted": 0}
    assert titles(alice) == {"done"}
