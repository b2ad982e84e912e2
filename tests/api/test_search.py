"""Searches: what `q` finds, in every order, whatever was written just before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.tasks.search_index import MOST_BATCHES, MOST_TASKS
from tests.support.cases import for_each
from tests.support.databases import administration, query_as_owner
from tests.support.fields import SORTS, matches, sorted_tasks
from tests.support.references import in_this_run
from tests.support.responses import assert_faults
from tests.support.searching import relevance
from tests.support.users import User, all_tasks, followed

Fields = dict[str, Any]

WORDS = [
    *("a", "ab", "abc", "b", "Caf\u00e9", "cafe", "STRASSE", "stra\u00dfe", "x1", "don't", "_"),
    *("\u6771\u4eac", "\u6771\u4eac\u90fd", "\u4eac", "\u30ac\u30fc", "\u304b", "\u304c"),
    *(
        "\u0e01\u0e23\u0e38\u0e07",
        "\u0e23\u0e38",
        "\U0001f600",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
    ),
    *("OR", "or", "\u6771a", "\u00bd", "\ufb01x", "\0"),
]
SEPARATORS = [" ", " ", " ", "-", " -", '"', ' "', '" ', ' -"', ", ", "", "\n", "\u3000"]


@st.composite
def texts(draw: st.DrawFn, most: int) -> str:
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=most))
    return "".join(draw(st.sampled_from(SEPARATORS)) + word for word in words)


def stored(text: str) -> str:
    """A text without NUL, which no task has."""
    return text.replace("\0", " ")


def found(user: User, q: str, url: str | None = None, **params: Any) -> list[Fields]:
    """All that the search finds, page by page, and the same on the way back."""
    pages = list(followed(user, user.get(url or user.tasks, params={"q": q, **params})))
    back = list(followed(user, pages[-1], "prev"))
    tasks = [task for page in pages for task in page.json()]
    assert [task for page in reversed(back) for task in page.json()] == tasks
    return tasks


def titles(user: User, q: str, **params: Any) -> list[str]:
    return [task["title"] for task in found(user, q, **params)]


def by_relevance(tasks: list[Fields], q: str) -> list[Fields]:
    ranks = {task["id"]: relevance(q, task) for task in tasks}
    matching = [task for task in tasks if ranks[task["id"]] is not None]
    return sorted(matching, key=lambda task: (ranks[task["id"]], task["created_at"]), reverse=True)


@settings(max_examples=in_this_run(50), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tasks=st.lists(st.tuples(texts(4), st.none() | texts(6)), min_size=1, max_size=8),
    changed=texts(3),
    searches=st.lists(texts(4), min_size=1, max_size=3),
)
def test_a_search_finds_what_its_definition_says(
    server: str, tasks: list[tuple[str, str | None]], changed: str, searches: list[str]
) -> None:
    with User(server) as user:
        operations = [
            {"op": "create", "title": stored(title), "description": text and stored(text)}
            for title, text in tasks
        ]
        response = user.post(f"{user.tasks}/batch", json={"operations": operations})
        everything = [each["task"] for each in response.json()["results"]]
        for q in searches:
            expected = by_relevance(everything, q)
            assert found(user, q, sort="relevance", limit=3) == expected
            assert found(user, q, sort="-relevance", limit=3) == expected[::-1]
            task_url = f"{user.tasks}/{everything[0]['id']}"
            everything[0] = user.put(task_url, json={"title": stored(changed)}).json()
            newest_first = [task for task in everything[::-1] if relevance(q, task) is not None]
            assert found(user, q, limit=3) == newest_first


@pytest.mark.parametrize(
    ("q", "text"),
    [
        ("gro", "Buy groceries"),
        ("GROCERIES buy", "Buy groceries"),
        ('"buy groceries"', "Buy groceries"),
        ("\u201cbuy groceries\u201d", "Buy groceries"),
        ("buy-gro", "Buy: groceries"),
        ("cafe", "Caf\u00e9"),
        ("caf\u00e9", "CAFE"),
        ("\u4eac\u90fd", "\u6771\u4eac\u90fd\u306b\u884c\u304f"),
        ("\u0e40\u0e17\u0e1e", "\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e2f"),
        ("\ud559\uad50", "\ud559\uad50\uc5d0\uc11c"),
        ("\uff21\uff22\uff23", "abc"),
        ("\u0438\u0435", "\u0418\u0401"),
        ("\U0001f389", "party\U0001f389!"),
        ("buy -milk", "Buy groceries"),
        ("milk OR groceries", "Buy groceries"),
        ('buy "', "Buy groceries"),
        ("x" * 120, "x" * 150),
    ],
)
def test_found(alice: User, q: str, text: str) -> None:
    alice.creates(text)
    alice.creates("another", description=text)

    assert titles(alice, q, sort="relevance") == [text, "another"]


@for_each(
    ("q", "text"),
    [
        ("roceries", "Buy groceries"),
        ('"gro"', "Buy groceries"),
        ('"groceries buy"', "Buy groceries"),
        ('"buy today"', "Buy groceries today"),
        ("buy -gro", "Buy groceries"),
        ('buy -"buy groceries"', "Buy groceries"),
        ("milk", "Buy groceries"),
        ("\u4eac\u6771", "\u6771\u4eac\u90fd"),
        ("\u304b", "\u304c"),
        ("!?", "!?"),
        ("OR", "OR"),
        ('"', '"'),
        ("-", "-"),
        ("\0", "x"),
    ],
)
def test_not_found(alice: User, q: str, text: str) -> None:
    alice.creates(text)

    assert titles(alice, q) == []


def test_no_phrase_leads_from_the_title_into_the_description(alice: User) -> None:
    alice.creates("Buy oat", description="milk today")

    assert titles(alice, '"oat milk"') == []
    assert titles(alice, "oat milk") == ["Buy oat"]


HOSTILE = ['"' * 200, "-" * 200, "- " * 100, "a OR " * 40, "-a " * 66, "\\'" * 100, "&|!()<->:*'"]


@for_each("q", [*HOSTILE, "\u6771" * 200, "\ufdfa" * 200, '"a ' * 66, "a" * 200])
def test_no_text_is_too_odd_to_search_for(alice: User, q: str) -> None:
    alice.creates("a")

    for params in ({}, {"sort": "relevance"}, {"offset": 0, "completed": True}):
        assert alice.get(alice.tasks, params={"q": q, **params}).status_code == 200


@for_each("text", ["\ufdfa" * 2000, "x" * 2000, "\u6771" * 2000, "a b " * 500])
def test_no_description_is_too_odd_to_be_found(alice: User, text: str) -> None:
    alice.creates("x", description=text)

    assert titles(alice, text[:3]) == ["x"]


def test_a_text_that_is_empty_or_too_long_is_refused(alice: User) -> None:
    for q in ("", "x" * 201):
        assert_faults(alice.get(alice.tasks, params={"q": q}), "q")


def test_only_a_search_is_sorted_by_relevance(alice: User) -> None:
    for url in (alice.tasks, alice.trash):
        for sort in ("relevance", "-relevance"):
            response = alice.get(url, params={"sort": sort}, headers={"If-None-Match": "*"})
            assert_faults(response, "sort")


def test_no_user_finds_the_tasks_of_another(alice: User, bob: User) -> None:
    alice.creates("Secret plan")

    assert titles(bob, "secret") == []
    bob.creates("Secret party")
    assert titles(bob, "secret") == ["Secret party"]


def test_the_trash_is_searched_too(alice: User) -> None:
    task = alice.creates("Buy milk")
    alice.creates("Buy bread")
    alice.delete(task.url)

    assert titles(alice, "buy") == ["Buy bread"]
    assert titles(alice, "buy", url=alice.trash) == ["Buy milk"]
    alice.post(f"{task.url}/restore")
    assert titles(alice, "milk") == ["Buy milk"]
    assert titles(alice, "milk", url=alice.trash) == []


def test_a_search_has_the_etag_of_lists(alice: User) -> None:
    task = alice.creates("Buy milk")
    etag = alice.get(alice.tasks, params={"q": "milk"}).headers["ETag"]

    assert etag == alice.get(alice.tasks).headers["ETag"]
    conditional = {"If-None-Match": etag}
    assert alice.get(alice.tasks, params={"q": "milk"}, headers=conditional).status_code == 304
    alice.put(task.url, json={"title": "Buy bread"})
    changed = alice.get(alice.tasks, params={"q": "milk"}, headers=conditional)
    assert (changed.status_code, changed.json()) == (200, [])


def test_every_search_finds_what_was_written_before_it(alice: User) -> None:
    def work(worker: int) -> None:
        for number in range(10):
            word = f"w{worker}n{number}"
            task = alice.creates(word)
            assert titles(alice, f'"{word}"') == [word]
            alice.put(task.url, json={"title": "done"})
            assert titles(alice, f'"{word}"') == []

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(4)))


@pytest.fixture(scope="module")
def reader(server: str) -> Iterator[User]:
    """A user with tasks that are due at some time or never, and of which some are done."""
    with User(server) as user:
        for number in range(24):
            due = f"2026-01-{1 + number * 7 % 9:02}" if number % 3 else None
            title = f"{'abc'[number % 3]} milk" if number % 4 else "bread"
            priority = ("none", "low", "urgent")[number * 5 % 3]
            user.creates(title, due_on=due, completed=number % 5 == 0, priority=priority)
        yield user


@for_each("sort", SORTS)
def test_a_search_is_sorted_as_every_list(reader: User, sort: str) -> None:
    whole = sorted_tasks(all_tasks(reader, reader.tasks), sort)

    searches: list[tuple[str, Fields]] = [("milk", {}), ('milk OR "a"', {"completed": False})]
    for q, filters in searches:
        expected = [task for task in whole if matches(task, {"q": q, **filters})]
        assert found(reader, q, sort=sort, limit=4, **filters) == expected
        offset = reader.get(reader.tasks, params={"q": q, "sort": sort, "offset": 3, **filters})
        assert offset.json() == expected[3:]


# What is stored


def words_of(database_url: str, user: User) -> list[str]:
    """The versions of the stored rows."""
    return query_as_owner(
        database_url, f"SELECT ctid::text FROM task_texts WHERE user_id = '{user.id}' ORDER BY 1"
    )


def test_only_a_search_writes_words_and_only_those_that_changed(
    alice: User, database_url: str
) -> None:
    task = alice.creates("Buy milk")
    assert words_of(database_url, alice) == []

    assert titles(alice, "milk") == ["Buy milk"]
    written = words_of(database_url, alice)
    alice.post(f"{task.url}/toggle")
    assert titles(alice, "milk") == ["Buy milk"]

    assert len(written) == 1
    assert words_of(database_url, alice) == written


def test_no_words_are_left_of_a_user_who_is_erased(alice: User, database_url: str) -> None:
    alice.creates("Buy milk")
    titles(alice, "milk")

    alice.delete(f"/api/{alice.id}")

    assert words_of(database_url, alice) == []
    alice.creates("Buy bread")
    assert titles(alice, "buy") == ["Buy bread"]


# Many tasks


def store_many(database_url: str, user: User, count: int, title: str, description: str) -> None:
    """Store tasks with this title and description, which are SQL and may depend on `n`."""
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, revision, created_at, due_on, title, description)"
            f" SELECT id, gen_random_uuid(), revision + n, created_at + n * interval '1 second',"
            f" CASE WHEN n % 4 > 0 THEN date '2026-01-01' + n % 100 END, {title}, {description}"
            f" FROM users, generate_series(1, {count}) n WHERE id = '{user.id}'"
        )
        execute(f"UPDATE users SET revision = revision + {count} WHERE id = '{user.id}'")


@pytest.mark.long
def test_a_word_of_very_many_tasks_is_found_in_every_order(alice: User, database_url: str) -> None:
    """They are too many candidates: the lists are scanned."""
    alice.creates("Buy milk")
    title = "CASE n % 50 WHEN 0 THEN 'common' WHEN 1 THEN 'a commons' ELSE 'other' END"
    store_many(database_url, alice, 2300, title, "CASE WHEN n % 50 > 10 THEN 'common' END")
    everything = all_tasks(alice, alice.tasks)
    ranked = by_relevance(everything, "common")
    ids = {task["id"] for task in ranked}
    by_title = sorted(ranked, key=lambda task: (task["title"], task["id"]))

    assert {relevance("common", task) for task in ranked} == {0, 1, 2}
    assert len(ranked) > 1500
    assert found(alice, "common", sort="relevance", limit=100) == ranked
    assert found(alice, "common", sort="-relevance", limit=100) == ranked[::-1]
    assert found(alice, "common", sort="title", limit=100) == by_title
    assert {task["id"] for task in found(alice, "common", sort="-due", limit=100)} == ids
    unlike = found(alice, "-common", limit=100)
    assert unlike == [task for task in everything if task["id"] not in ids]
    page = alice.get(
        alice.tasks, params={"q": "common", "sort": "relevance", "offset": 1000, "limit": 5}
    )
    assert page.json() == ranked[1000:1005]


@pytest.mark.long
def test_the_first_search_in_very_many_tasks_comes_to_its_results_page_by_page(
    alice: User, database_url: str
) -> None:
    oldest = alice.creates("Buy milk").document
    most = MOST_TASKS * MOST_BATCHES
    store_many(database_url, alice, most + 1000, "'other'", "NULL")

    first = alice.get(alice.tasks, params={"q": "milk"})
    etag = {"If-None-Match": first.headers["ETag"]}

    assert (first.json(), "next" in first.links) == ([], True)
    assert alice.get(first.links["next"]["url"]).json() == [oldest]
    assert alice.get(alice.tasks, params={"q": "milk"}, headers=etag).json() == [oldest]


@pytest.mark.long
def test_a_page_by_offset_waits_until_all_tasks_can_be_found(
    alice: User, database_url: str
) -> None:
    alice.creates("Buy milk")
    store_many(database_url, alice, MOST_TASKS * MOST_BATCHES + 1, "'other'", "NULL")

    page = alice.get(alice.tasks, params={"q": "milk OR other", "offset": 1, "limit": 1})

    assert [task["title"] for task in page.json()] == ["other"]
