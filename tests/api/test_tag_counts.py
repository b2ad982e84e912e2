"""The list of tags: how many tasks have each."""

from typing import Any

import httpx
import pytest

from tests.support.databases import administration
from tests.support.responses import assert_faults
from tests.support.users import User


def tags_of(user: User, **params: Any) -> list[tuple[str, int, int]]:
    """The tags as the list has them: the name, the number of open tasks and of done ones."""
    response = user.get(f"/api/{user.id}/tags", params=params)
    assert response.status_code == 200, response.text
    return [(each["name"], each["open"], each["done"]) for each in response.json()]


def test_tags_are_counted_without_case_and_sorted(alice: User) -> None:
    alice.creates(tags=["home", "Dairy"])
    alice.creates(tags=["HOME"], completed=True)
    alice.creates(tags=["Home", "a"])
    alice.creates()

    assert tags_of(alice) == [("a", 1, 0), ("Dairy", 1, 0), ("Home", 2, 1)]


def test_a_name_is_written_as_in_the_newest_task_that_has_it(alice: User) -> None:
    alice.creates(tags=["HOME"])
    newest = alice.creates(tags=["home"])

    assert tags_of(alice) == [("home", 2, 0)]
    alice.put(newest.url, json={"tags": ["Home"]})
    assert tags_of(alice) == [("Home", 2, 0)]
    alice.delete(newest.url)
    assert tags_of(alice) == [("HOME", 1, 0)]


def test_tasks_in_the_trash_are_not_counted(alice: User) -> None:
    task = alice.creates(tags=["home"])

    alice.delete(task.url)
    assert tags_of(alice) == []
    alice.post(f"{task.url}/restore")
    alice.patch(f"{task.url}/complete")
    assert tags_of(alice) == [("home", 0, 1)]


def test_a_user_without_data_has_no_tags(alice: User) -> None:
    assert tags_of(alice) == []
    assert alice.get(f"/api/{alice.id}/tags").headers["etag"] == 'W/"0"'


def test_tags_of_other_users_are_not_counted(alice: User, bob: User) -> None:
    bob.creates(tags=["home"])

    assert tags_of(alice) == []


def test_pages_of_tags_follow_each_other_by_their_names(alice: User) -> None:
    names = ["'\"&=%", "Straße", "a b", "b/c", "straßf"]
    alice.creates(tags=names)
    whole = tags_of(alice)

    found, url = [], f"/api/{alice.id}/tags?limit=2"
    while url:
        page = alice.get(url)
        found += page.json()
        url = page.links.get("next", {}).get("url", "")

    assert [each["name"] for each in found] == [name for name, *_ in whole]
    assert sorted(each["name"] for each in found) == sorted(names)
    assert page.links["first"]["url"] == f"/api/{alice.id}/tags?limit=2"
    assert tags_of(alice, after="STRASSE") == [("straßf", 1, 0)]


def test_the_list_is_not_sent_again_while_nothing_has_changed(alice: User) -> None:
    task = alice.creates(tags=["home"])
    etag = alice.get(f"/api/{alice.id}/tags").headers["etag"]

    def again() -> httpx.Response:
        return alice.get(f"/api/{alice.id}/tags", headers={"If-None-Match": etag})

    assert (again().status_code, again().content) == (304, b"")
    assert again().headers["etag"] == alice.get(alice.tasks).headers["etag"]
    alice.patch(f"{task.url}/complete")
    assert again().json() == [{"name": "home", "open": 0, "done": 1}]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=", f"after={'x' * 51}"])
def test_what_is_no_page_of_tags_is_refused(alice: User, query: str) -> None:
    assert_faults(alice.get(f"/api/{alice.id}/tags?{query}"), query.partition("=")[0])


def test_more_tags_than_a_page_has_are_listed_page_by_page(alice: User, database_url: str) -> None:
    alice.creates()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, tags, tag_keys)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n, tags, tags FROM"
            " generate_series(1, 1500) n, LATERAL (SELECT jsonb_build_array('tag ' || n))"
            " AS of_task (tags)"
        )

    first = alice.get(f"/api/{alice.id}/tags")
    second = alice.get(first.links["next"]["url"])

    assert (len(first.json()), len(second.json())) == (1000, 500)
    assert "next" not in second.links
