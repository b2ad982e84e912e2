"""Keyset cursors: pages of a list that changes meanwhile show each task once."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.databases import administration
from tests.support.references import property_settings
from tests.support.responses import assert_faults
from tests.support.users import User, followed


def walk(user: User, start: str, relation: str = "next") -> Iterator[httpx.Response]:
    """The page and all pages that its links lead to."""
    return followed(user, user.get(start), relation)


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
        execute(
            "UPDATE tasks SET created_at = (timestamp '2026-01-31 09:26:53.000001'"
            " + (revision % 2) * interval '1 microsecond') AT TIME ZONE 'UTC'"
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


@pytest.mark.parametrize("query", ["completed=true", "sort=title", "offset=1"])
def test_cursor_of_another_list_is_refused(five: User, query: str) -> None:
    cursor = cursor_of(five.get(five.tasks, params={"limit": 2}))

    assert_faults(five.get(f"{five.tasks}?cursor={cursor}&{query}"), "cursor")
    assert titles(five.get(f"{five.tasks}?cursor={cursor}&limit=3&offset=0")) == ["2", "1", "0"]


def test_cursor_of_the_tasks_is_refused_in_the_trash(five: User) -> None:
    cursor = cursor_of(five.get(five.tasks, params={"limit": 2}))

    assert_faults(five.get(five.trash, params={"cursor": cursor}), "cursor")


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


def test_list_of_an_unknown_user_has_one_page(alice: User) -> None:
    assert set(alice.get(alice.tasks).links) == {"first"}
    assert_faults(alice.get(alice.tasks, params={"cursor": str(uuid4())}), "cursor")
