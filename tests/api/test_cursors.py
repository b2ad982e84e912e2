"""Keyset cursors: pages of a list that changes meanwhile show each task once."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import connection

from db.postgres.statement import Statement
from db.tasks import statements
from db.tasks.cursors import Place
from tests.support.databases import administration
from tests.support.references import property_settings
from tests.support.responses import assert_faults
from tests.support.users import User

MANY = 100_000
OWNER = UUID("0190a1b2-0000-7000-8000-00000000a11c")


def walk(user: User, start: str, relation: str = "next") -> Iterator[httpx.Response]:
    """The page and all pages that its links lead to."""
    page = user.get(start)
    while True:
        assert page.status_code == 200, page.text
        yield page
        if relation not in page.links:
            return
        page = user.get(page.links[relation]["url"])


def titles(page: httpx.Response) -> list[str]:
    return [task["title"] for task in page.json()]


def delete_all(user: User, page: httpx.Response) -> None:
    for task in page.json():
        user.delete(f"{user.tasks}/{task['id']}")


def cursor_of(page: httpx.Response, relation: str = "next") -> str:
    return httpx.URL(page.links[relation]["url"]).params["cursor"]


@pytest.fixture
def five(alice: User) -> User:
    """Alice, with tasks `4` to `0`, the newest first."""
    for number in range(5):
        alice.creates(str(number))
    return alice


def test_next_links_lead_to_the_end_and_prev_links_back(five: User) -> None:
    there = list(walk(five, f"{five.tasks}?limit=2"))
    back = list(walk(five, f"{five.tasks}?limit=2&cursor={cursor_of(there[-1], 'prev')}", "prev"))

    assert [titles(page) for page in there] == [["4", "3"], ["2", "1"], ["0"]]
    assert [titles(page) for page in back] == [["2", "1"], ["4", "3"]]
    assert [set(page.links) for page in there] == [
        {"first", "next"},
        {"first", "prev", "next"},
        {"first", "prev"},
    ]
    assert "prev" not in back[-1].links
    assert titles(five.get(back[-1].links["next"]["url"])) == ["2", "1"]


def test_link_to_the_first_page_has_no_cursor(five: User) -> None:
    page = five.get(five.tasks, params={"limit": 2, "completed": False})

    assert page.links["first"]["url"] == f"{five.tasks}?limit=2&completed=false"


def test_tasks_created_and_deleted_meanwhile_make_no_gap_and_no_repeat(five: User) -> None:
    first = five.get(five.tasks, params={"limit": 2})
    five.creates("5")
    five.delete(f"{five.tasks}/{first.json()[1]['id']}")

    second = five.get(first.links["next"]["url"])

    assert titles(second) == ["2", "1"]
    assert titles(five.get(second.links["prev"]["url"])) == ["5", "4"]


def test_prev_link_of_an_emptied_last_page_leads_to_the_tasks_before_it(
    five: User,
) -> None:
    first = five.get(five.tasks, params={"limit": 3})
    delete_all(five, five.get(first.links["next"]["url"]))

    emptied = five.get(first.links["next"]["url"])

    assert (titles(emptied), set(emptied.links)) == ([], {"first", "prev"})
    assert titles(five.get(emptied.links["prev"]["url"])) == ["4", "3", "2"]


def test_next_link_of_an_emptied_first_page_leads_to_the_tasks_behind_it(
    five: User,
) -> None:
    first = five.get(five.tasks, params={"limit": 3})
    second = five.get(first.links["next"]["url"])
    delete_all(five, first)

    emptied = five.get(second.links["prev"]["url"])

    assert (titles(emptied), set(emptied.links)) == ([], {"first", "next"})
    assert titles(five.get(emptied.links["next"]["url"])) == ["1", "0"]


def test_tasks_of_one_microsecond_are_each_listed_once(alice: User, database_url: str) -> None:
    created = {alice.creates(str(number)).document["id"] for number in range(9)}
    with administration(database_url) as execute:
        moment = "timestamptz '2026-01-31 09:26:53.000001+00'"
        execute(
            f"UPDATE tasks SET created_at = {moment} + (revision % 2) * interval '1 microsecond'"
            f" WHERE user_id = '{alice.id}'"
        )

    met = [task["id"] for page in walk(alice, f"{alice.tasks}?limit=2") for task in page.json()]

    assert len(met) == 9
    assert set(met) == created


def test_reader_meets_each_lasting_task_once_during_writes(alice: User) -> None:
    lasting = [alice.creates(str(number)).document["id"] for number in range(60)]
    passing = [alice.creates("passing").document["id"] for _ in range(60)]
    chance = random.Random(1)

    def write(task_id: str) -> None:
        alice.creates("new")
        alice.delete(f"{alice.tasks}/{task_id}")

    def read(relation: str) -> list[str]:
        start = alice.get(alice.tasks, params={"limit": 7})
        url = f"{alice.tasks}?limit={chance.randint(1, 9)}"
        if relation == "prev":
            *_, start = walk(alice, url)
            url = start.links["prev"]["url"]
        pages = walk(alice, url, relation)
        return [task["id"] for page in pages for task in page.json()]

    with ThreadPoolExecutor(4) as pool:
        writes = pool.map(write, passing)
        there, back = pool.map(read, ["next", "prev"])
        list(writes)

    for met in (there, back):
        assert len(met) == len(set(met))
    assert set(lasting) <= set(there)


@pytest.mark.parametrize("query", ["completed=true", "completed=false", "offset=1"])
def test_cursor_of_another_list_is_refused(five: User, query: str) -> None:
    cursor = cursor_of(five.get(five.tasks, params={"limit": 2}))

    assert_faults(five.get(f"{five.tasks}?cursor={cursor}&{query}"), "cursor")
    assert titles(five.get(f"{five.tasks}?cursor={cursor}&limit=3&offset=0")) == ["2", "1", "0"]


def test_cursor_of_another_user_is_refused(five: User, bob: User) -> None:
    cursor = cursor_of(five.get(five.tasks, params={"limit": 2}))

    assert_faults(bob.get(bob.tasks, params={"cursor": cursor}), "cursor")


def test_invalid_cursor_is_refused_even_with_a_matching_etag(five: User) -> None:
    first = five.get(five.tasks, params={"limit": 2})
    has_it = {"If-None-Match": first.headers["etag"]}

    refused = five.get(five.tasks, params={"cursor": "0"}, headers=has_it)
    unchanged = five.get(five.tasks, params={"cursor": cursor_of(first)}, headers=has_it)

    assert_faults(refused, "cursor")
    assert unchanged.status_code == 304


def test_feed_token_is_no_cursor_and_cursor_is_no_feed_token(five: User) -> None:
    cursor = cursor_of(five.get(five.tasks, params={"limit": 2}))
    token = five.get(f"/api/{five.id}/changes").json()["next"]

    assert_faults(five.get(five.tasks, params={"cursor": token}), "cursor")
    assert_faults(five.get(f"/api/{five.id}/changes", params={"since": cursor}), "since")


@property_settings(100)
@given(st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex(r"[\w-]+", fullmatch=True))
def test_random_text_as_a_token_returns_422(server: str, text: str) -> None:
    with User(server) as user:
        assert_faults(user.get(user.tasks, params={"cursor": text}), "cursor")
        assert_faults(user.get(f"/api/{user.id}/changes", params={"since": text}), "since")


@given(st.integers(-(2**61), 2**61), st.uuids(), st.integers(1, 3))
def test_step_leads_to_the_neighbouring_key(moment: int, id_: UUID, steps: int) -> None:
    place = Place(moment, id_.int)

    assert place.stepped(-1) < place < place.stepped(1)
    assert place.stepped(steps).stepped(-steps) == place


@pytest.fixture(scope="module")
def crowded(new_database: Callable[[], str]) -> Iterator[connection]:
    """A connection to a database in which one user has very many tasks."""
    url = new_database()
    with administration(url) as execute:
        execute(f"INSERT INTO users (id) VALUES ('{OWNER}')")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, created_at)"
            f" SELECT '{OWNER}', gen_random_uuid(), 'x', n, now() - n * interval '1 second'"
            f" FROM generate_series(1, {MANY}) n"
        )
        execute("ANALYZE tasks")
    with closing(psycopg2.connect(url)) as opened:
        opened.autocommit = True
        with opened.cursor() as cursor:
            cursor.execute(f"SET errand.user_id = '{OWNER}'")
        yield opened


def plan_of(crowded: connection, statement: Statement, values: dict[str, Any], mode: str) -> Any:
    """How PostgreSQL runs a prepared statement, and what it has read."""
    values = {"user_id": OWNER, **values}
    telling_the_owner, running = statement.sql(values, prepared=True).split("; ")
    explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
    with crowded.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
        cursor.execute(f"SET plan_cache_mode = {mode}")
        cursor.execute(statement.preparation)
        cursor.execute(f"{telling_the_owner}; {explain} {running}", values)
        [[[explained]]] = cursor.fetchall()
    return explained["Plan"]


def scans_of_tasks(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a plan that read the table of tasks."""
    below = [scan for node in plan.get("Plans", []) for scan in scans_of_tasks(node)]
    return [plan, *below] if plan.get("Relation Name") == "tasks" else below


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("statement", [statements.LIST_AFTER, statements.LIST_BEFORE])
@pytest.mark.parametrize("depth", [51, MANY // 2, MANY - 51])
def test_deepest_page_costs_what_the_first_does(
    crowded: connection, depth: int, statement: Statement, mode: str
) -> None:
    with crowded.cursor() as cursor:
        cursor.execute("SELECT created_at, id FROM tasks WHERE revision = %s", [depth])
        [(moment, task_id)] = cursor.fetchall()
    values = {"user_id": OWNER, "completed": None, "limit": 51}

    plan = plan_of(crowded, statement, {**values, "place_time": moment, "place_id": task_id}, mode)

    [scan] = scans_of_tasks(plan)
    used = (scan["Node Type"], scan["Index Name"])
    assert used == ("Index Scan", "tasks_newest_first"), json.dumps(plan, indent=1)
    assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) <= 51
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 51 + 20


def test_offset_costs_more_the_deeper_it_is(crowded: connection) -> None:
    values = {"user_id": OWNER, "completed": None, "limit": 51, "offset": MANY - 51}

    plan = plan_of(crowded, statements.LIST_BY_OFFSET, values, "force_generic_plan")

    assert [scan["Actual Rows"] for scan in scans_of_tasks(plan)] == [MANY]


def test_list_of_an_unknown_user_has_one_page(alice: User) -> None:
    assert set(alice.get(alice.tasks).links) == {"first"}
    assert_faults(alice.get(alice.tasks, params={"cursor": str(uuid4())}), "cursor")
