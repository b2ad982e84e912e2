"""Every field, filter and order of the contract works in every way that there is.

The tests are made from the contract: they name no field. A field that is taken out of the model, of
a statement, of a batch, of the feed or of a list makes one of them fail.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support.cases import for_each
from tests.support.databases import administration
from tests.support.fields import (
    DEFAULTS,
    EXCLUSIVE,
    FILTERS,
    PLACE,
    REQUIRED,
    SORTS,
    WRITABLE,
    Fields,
    agreeing,
    all_filters,
    choices_of,
    create_references,
    create_series,
    defaults_at,
    matches,
    sorted_tasks,
    values_of,
    with_due,
)
from tests.support.responses import assert_faults
from tests.support.users import User, followed

PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(autouse=True)
def references(request: pytest.FixtureRequest) -> None:
    """What fields of Alice's tasks can refer to."""
    if "alice" in request.fixturenames:
        create_references(request.getfixturevalue("alice"))


def example_of(name: str) -> Any:
    """A value of a field, another one than a new task has by itself."""
    return next(each for each in values_of(WRITABLE[name]) if each != DEFAULTS.get(name))


def batch_of(user: User, operation: Fields) -> Fields:
    """The task as an operation of a batch leaves it."""
    response = user.post(f"{user.tasks}/batch", json={"operations": [operation]})
    assert response.status_code == 200, response.text
    task: Fields = response.json()["results"][0]["task"]
    return task


def creation(user: User, fields: Fields) -> Fields:
    missing = {name: example_of(name) for name in REQUIRED if name not in fields}
    return user.creates(**missing, **with_due(fields)).document


def creation_in_a_batch(user: User, fields: Fields) -> Fields:
    missing = {name: example_of(name) for name in REQUIRED if name not in fields}
    return batch_of(user, {"op": "create", **missing, **with_due(fields)})


def change_by(method: str, **headers: str) -> Callable[[User, Fields], Fields]:
    def change(user: User, fields: Fields) -> Fields:
        task = user.creates(**everything_but(fields))
        response = user.request(method, task.url, json=fields, headers=headers)
        assert response.status_code == 200, response.text
        changed: Fields = response.json()
        return changed

    return change


def change_in_a_batch(user: User, fields: Fields) -> Fields:
    task = user.creates(**everything_but(fields))
    return batch_of(user, {"op": "update", "id": task.document["id"], **fields})


def everything_but(fields: Fields) -> Fields:
    """A value for each field, and another one than these for those that are named."""
    others = {
        name: next(each for each in values_of(schema) if each not in (fields.get(name, schema),))
        for name, schema in WRITABLE.items()
    }
    return agreeing(others, *fields)


WAYS = {
    "POST": creation,
    "PUT": change_by("PUT"),
    "PATCH": change_by("PATCH", **PATCH),
    "creation in a batch": creation_in_a_batch,
    "update in a batch": change_in_a_batch,
}
CREATIONS = ("POST", "creation in a batch")
VALUES = [(name, value) for name, schema in WRITABLE.items() for value in values_of(schema)]


def shown(user: User, task_id: str) -> dict[str, Fields]:
    """The task wherever it is shown."""
    listed = user.get(user.tasks, params={"limit": 100}).json()
    changes = user.get(f"/api/{user.id}/changes", params={"limit": 1000}).json()["changes"]
    followed = [change["task"] for change in changes if "task" in change]
    return {
        "get": user.get(f"{user.tasks}/{task_id}").json(),
        "list": next(each for each in listed if each["id"] == task_id),
        "feed": next(each for each in followed if each["id"] == task_id),
    }


@pytest.mark.parametrize("way", WAYS)
@for_each(("name", "value"), VALUES)
def test_what_is_written_is_shown_everywhere(
    alice: User, way: str, name: str, value: object
) -> None:
    fields = {name: value}
    written = WAYS[way](alice, fields)

    created = defaults_at(written["revision"]) | with_due(fields)
    rest = created if way in CREATIONS else everything_but(fields)
    others = {key: written[key] for key in WRITABLE if key not in (name, *REQUIRED)}
    assert written[name] == value
    assert others == {key: rest[key] for key in others}
    for place, task in shown(alice, written["id"]).items():
        assert task == written, place
    if way == "POST":  # where a task is kept does not depend on how it was written
        assert_it_is_kept_in_the_trash(alice, written)


def assert_it_is_kept_in_the_trash(user: User, task: Fields) -> None:
    url = f"{user.tasks}/{task['id']}"
    user.delete(url)
    [entry] = user.get(user.trash).json()
    assert {name: entry[name] for name in WRITABLE} == {name: task[name] for name in WRITABLE}
    restored = user.post(f"{url}/restore").json()
    assert {name: restored[name] for name in WRITABLE} == {name: task[name] for name in WRITABLE}


@for_each("way", CREATIONS)
def test_a_new_task_has_the_defaults_of_the_contract(alice: User, way: str) -> None:
    created = WAYS[way](alice, {})

    defaults = defaults_at(created["revision"])
    assert {name: created[name] for name in defaults} == defaults


def test_a_title_conflict_shows_every_field(alice: User) -> None:
    """Errors show the task, too: whatever shows one shows all of it."""
    task = alice.creates(**agreeing({name: example_of(name) for name in WRITABLE}))
    body = {**{name: example_of(name) for name in REQUIRED}, "id": task.document["id"]}

    assert alice.post(alice.tasks, json=body).json()["current"] == task.document


# Lists

every_list = for_each("name", ["tasks", "trash"])


@pytest.fixture(scope="module")
def carol(server: str) -> Iterator[User]:
    """A user with tasks of all values, in the trash, too; those of one value are several."""
    with User(server) as user:
        create_references(user)
        create_series(user)
        tasks = [
            creation(user, agreeing({**dict(zip(WRITABLE, values, strict=True)), **dates}, kept))
            for dates, kept, *values in zip(
                _without_some_of(EXCLUSIVE),
                20 * [PLACE[0], *PLACE],
                *(_cycled(name) for name in WRITABLE),
                strict=True,
            )
        ]
        for task in tasks[::3]:
            user.delete(f"{user.tasks}/{task['id']}")
        for task in tasks[1::6]:
            user.patch(f"{user.tasks}/{task['id']}", json={}, headers=PATCH)
            user.put(f"{user.tasks}/{task['id']}", json={"title": task["title"]})
        yield user


@pytest.fixture(scope="module")
def whole(carol: User) -> dict[str, list[Fields]]:
    """All of her tasks, and all in the trash, in the order in which both are listed by default."""
    return {
        name: carol.get(f"/api/{carol.id}/{name}", params={"limit": 100}).json()
        for name in ("tasks", "trash")
    }


def _without_some_of(names: list[str]) -> list[Fields]:
    """Sixty times null for some of the fields: for each of them, for all, for none."""
    some = [{}, dict.fromkeys(names), *({name: None} for name in names)]
    return [some[number % len(some)] for number in range(60)]


def _cycled(name: str) -> list[Any]:
    """Sixty values of a field, in an order of its own."""
    values = values_of(WRITABLE[name])
    step = 1 + 2 * list(WRITABLE).index(name)
    return [values[number * step // 3 % len(values)] for number in range(60)]


def walked(user: User, url: str, params: Fields) -> Iterator[httpx.Response]:
    """The page, and all those that its `next` leads to."""
    for page in followed(user, user.get(url, params=params)):
        assert all(link["url"].startswith(url) for link in page.links.values())
        yield page


def listed(user: User, url: str, **params: Any) -> list[Fields]:
    return [task for page in walked(user, url, {"limit": 25, **params}) for task in page.json()]


@every_list
@for_each("filters", all_filters(), ids=str)
def test_a_filtered_list_is_the_whole_list_filtered(
    carol: User, whole: dict[str, list[Fields]], filters: Fields, name: str
) -> None:
    url = f"/api/{carol.id}/{name}"
    expected = [task for task in whole[name] if matches(task, filters)]

    assert listed(carol, url, **filters) == expected
    counted = carol.get(url, params={"offset": 1, "limit": 100, **filters})
    assert counted.json() == expected[1:]


@every_list
@for_each("sort", SORTS)
def test_a_list_is_in_the_order_that_is_asked_for(
    carol: User, whole: dict[str, list[Fields]], sort: str, name: str
) -> None:
    url = f"/api/{carol.id}/{name}"
    expected = sorted_tasks(whole[name], sort)

    pages = list(walked(carol, url, {"limit": 7, "sort": sort}))
    there = [task["id"] for page in pages for task in page.json()]
    last = pages[-1].links["prev"]["url"]
    back = [page.json() for page in followed(carol, carol.get(last), "prev")]

    assert there == [task["id"] for task in expected]
    assert [task["id"] for page in reversed(back) for task in page] == there[
        : -len(pages[-1].json())
    ]
    counted = carol.get(url, params={"offset": 3, "limit": 100, "sort": sort})
    assert counted.json() == expected[3:]


@for_each("sort", SORTS)
@for_each("name", FILTERS)
def test_filters_and_orders_go_together(
    carol: User, whole: dict[str, list[Fields]], name: str, sort: str
) -> None:
    in_order = sorted_tasks(whole["tasks"], sort)
    choices = choices_of(name)
    one_two_all = [choices[0], choices[-2], choices[-1]]

    for choice in one_two_all if FILTERS[name]["type"] == "array" else choices:
        expected = [task for task in in_order if matches(task, {name: choice})]
        assert listed(carol, carol.tasks, sort=sort, **{name: choice}) == expected


@for_each("name", FILTERS)
def test_a_cursor_keeps_its_filter_and_is_refused_under_another_value(
    carol: User, name: str
) -> None:
    for choice, other in pairwise([*choices_of(name), choices_of(name)[0]]):
        page = carol.get(carol.tasks, params={"limit": 2, name: choice})
        url = httpx.URL(page.links["next"]["url"])
        kept = choice if isinstance(choice, list) else [choice]
        assert url.params.get_list(name) == [
            str(each).lower() if isinstance(each, bool) else each for each in kept
        ]
        cursor = url.params["cursor"]

        assert_faults(carol.get(carol.tasks, params={"cursor": cursor, name: other}), "cursor")
        assert_faults(carol.get(carol.tasks, params={"cursor": cursor}), "cursor")
        assert carol.get(carol.tasks, params={"cursor": cursor, name: choice}).status_code == 200


@for_each("sort", SORTS)
def test_a_cursor_keeps_its_order_and_is_refused_under_another(carol: User, sort: str) -> None:
    page = carol.get(carol.tasks, params={"limit": 2, "sort": sort})
    url = httpx.URL(page.links["next"]["url"])
    other = next(each for each in SORTS if each != sort)

    assert url.params["sort"] == sort
    params: Fields = {"cursor": url.params["cursor"], "limit": 2}
    assert_faults(carol.get(carol.tasks, params={**params, "sort": other}), "cursor")
    assert carol.get(carol.tasks, params={**params, "sort": sort}).status_code == 200


@for_each("name", FILTERS)
def test_a_filter_is_taken_as_the_contract_has_it(carol: User, name: str) -> None:
    longest = {"tag": 50, "q": 200}.get(name, 0)
    for value in ("x" * (longest + 1) if longest else "no such value", ""):
        assert_faults(carol.get(carol.tasks, params={name: value}), name)


def test_no_other_order_is_taken(carol: User) -> None:
    for sort in ("description", "created_at,title", "--title", ""):
        assert_faults(carol.get(carol.tasks, params={"sort": sort}), "sort")


def test_a_filter_that_few_tasks_match_leads_to_them_page_by_page(
    alice: User, database_url: str
) -> None:
    """The server reads a thousand tasks for a page: pages may be empty, but none is missed."""
    oldest, *_ = [alice.creates(completed=number == 0).document for number in range(2)]
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n FROM generate_series(1, 3000) n"
        )

    pages = list(walked(alice, alice.tasks, {"completed": True}))
    back = list(followed(alice, alice.get(pages[-1].links["prev"]["url"]), "prev"))

    assert [page.json() for page in pages] == [[], [], [], [oldest]]
    assert not any(page.json() for page in back)
    assert "next" in pages[0].links


def test_the_longest_title_fits_a_cursor(bob: User) -> None:
    for _ in range(3):
        bob.creates("\U0001f600" * 255)

    assert len(listed(bob, bob.tasks, sort="title", limit=1)) == 3
    assert len(listed(bob, bob.tasks, sort="-title", limit=1)) == 3
