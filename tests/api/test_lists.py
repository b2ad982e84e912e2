"""Lists: created, read, changed, deleted and restored, each with all that tasks have."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.support.contract import assert_refused
from tests.support.idempotency import assert_replayed, key
from tests.support.races import RACERS, Servers, race
from tests.support.responses import assert_faults
from tests.support.servers import Serve
from tests.support.users import Task, User

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def groceries(alice: User) -> Task:
    """A list of Alice's."""
    return alice.creates_list("Groceries")


def titles(user: User) -> list[str]:
    return [each["title"] for each in user.get(user.lists).json()]


def if_match(revision: int) -> dict[str, str]:
    return {"If-Match": f'"{revision}"'}


def test_a_new_list_is_shown_as_it_was_created(alice: User) -> None:
    created = alice.post(alice.lists, json={"title": "Groceries"})

    found = alice.get(created.headers["location"])
    assert created.status_code == 201
    assert created.json().keys() == {
        *("id", "user_id", "title", "position"),
        *("created_at", "updated_at", "revision"),
    }
    assert (created.json()["title"], created.json()["user_id"]) == ("Groceries", alice.id)
    assert found.json() == created.json()
    assert found.headers["etag"] == created.headers["etag"] == f'"{found.json()["revision"]}"'
    assert alice.get(alice.lists).json() == [found.json()]


def test_a_user_without_lists_has_none(alice: User) -> None:
    response = alice.get(alice.lists)

    assert (response.json(), response.headers["etag"]) == ([], 'W/"0"')


def test_lists_are_sorted_by_the_bytes_of_their_positions(alice: User) -> None:
    for position in ("b00", "Zz", "a0", "a0V", "b01", "a1"):
        alice.creates_list(position, position=position)

    assert titles(alice) == ["Zz", "a0", "a0V", "a1", "b00", "b01"]


def test_a_list_without_a_position_comes_after_earlier_ones(alice: User) -> None:
    for title in ("first", "second", "third"):
        alice.creates_list(title)

    assert titles(alice) == ["first", "second", "third"]


def test_fields_of_a_list_are_checked(alice: User, groceries: Task) -> None:
    wrong: dict[str, Any] = {"title": "", "position": "a b", "colour": 1}

    assert_faults(alice.post(alice.lists, json=wrong), "/title", "/position", "/colour")
    assert_faults(alice.patch(groceries.url, json=wrong), "/title", "/position", "/colour")
    assert_faults(alice.post(alice.lists, json={"position": "a0"}), "/title")
    assert_faults(
        alice.patch(groceries.url, json={"title": None, "position": None}), "/title", "/position"
    )


def test_a_patch_changes_the_fields_that_it_names(alice: User, groceries: Task) -> None:
    renamed = alice.patch(groceries.url, json={"title": "Shopping"}, headers=MERGE_PATCH)
    moved = alice.patch(groceries.url, json={"position": "a0"})

    assert renamed.json()["position"] == groceries.document["position"]
    assert (moved.json()["title"], moved.json()["position"]) == ("Shopping", "a0")
    assert groceries.document["revision"] < renamed.json()["revision"] < moved.json()["revision"]
    assert groceries.document["updated_at"] < renamed.json()["updated_at"]
    assert alice.get(groceries.url).json() == moved.json()


def test_an_empty_patch_takes_no_revision(alice: User, groceries: Task) -> None:
    assert alice.patch(groceries.url, json={}).json() == groceries.document
    assert alice.get(alice.lists).json() == [groceries.document]


def test_a_deleted_list_is_gone_until_it_is_restored(alice: User, groceries: Task) -> None:
    deleted = alice.delete(groceries.url)

    assert deleted.status_code == 204
    assert titles(alice) == []
    for response in (
        alice.get(groceries.url),
        alice.patch(groceries.url, json={"title": "x"}),
        alice.delete(groceries.url),
    ):
        assert_refused(response, 404, "list-not-found")
    restored = alice.post(f"{groceries.url}/restore").json()
    stamps = {name: restored[name] for name in ("updated_at", "revision")}
    assert restored == {**groceries.document, **stamps}
    assert alice.post(f"{groceries.url}/restore").json() == restored
    assert titles(alice) == ["Groceries"]


def test_an_unknown_list_is_not_found(alice: User, bob: User, groceries: Task) -> None:
    for user, list_id in ((alice, uuid4()), (bob, groceries.document["id"])):
        url = f"{user.lists}/{list_id}"
        for response in (
            user.get(url),
            user.patch(url, json={}),
            user.delete(url),
            user.post(f"{url}/restore"),
        ):
            assert_refused(response, 404, "list-not-found")


# Versions


def test_a_read_with_the_current_etag_has_no_body(alice: User, groceries: Task) -> None:
    for url in (groceries.url, alice.lists):
        known = {"If-None-Match": alice.get(url).headers["etag"]}
        assert alice.get(url, headers=known).status_code == 304

    alice.creates("any change")

    assert alice.get(groceries.url, headers={"If-None-Match": groceries.etag}).status_code == 304
    assert alice.get(alice.lists, headers=known).status_code == 200


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [("PATCH", "", {"title": "x"}), ("PATCH", "", {}), ("DELETE", "", None)],
)
def test_a_write_with_a_stale_etag_is_refused_with_the_list(
    alice: User, groceries: Task, method: str, rest: str, body: Any
) -> None:
    current = alice.patch(groceries.url, json={"title": "Shopping"}).json()

    refused = alice.request(
        method, groceries.url + rest, json=body, headers={"If-Match": groceries.etag}
    )

    assert assert_refused(refused, 412, "list-changed")["current_list"] == current
    fresh = if_match(current["revision"])
    assert alice.request(method, groceries.url, json=body, headers=fresh).is_success


def test_a_restoration_obeys_if_match(alice: User, groceries: Task) -> None:
    alice.delete(groceries.url)
    url = f"{groceries.url}/restore"

    stale = assert_refused(alice.post(url, headers=if_match(1)), 412, "list-changed")
    deleted = stale["deleted_list"]
    restored = alice.post(url, headers=if_match(deleted["revision"]))
    again = alice.post(url, headers=if_match(deleted["revision"]))

    assert deleted["deleted_at"] == deleted["updated_at"]
    assert restored.status_code == 200
    assert assert_refused(again, 412, "list-changed")["current_list"] == restored.json()


def test_a_server_can_require_if_match_for_lists(serve: Serve) -> None:
    with User(serve(ERRAND_REQUIRE_IF_MATCH="on")) as alice:
        groceries = alice.creates_list()

        assert_refused(alice.delete(groceries.url), 428, "if-match-required")
        assert alice.delete(groceries.url, headers={"If-Match": groceries.etag}).is_success


# Ids and retries


def test_an_id_of_the_client_is_used_once(alice: User, bob: User) -> None:
    list_id = str(uuid4())
    created = alice.creates_list("Groceries", id=list_id.upper())

    again = alice.post(alice.lists, json={"title": "x", "id": list_id})
    only_new = alice.post(
        alice.lists, json={"title": "x", "id": list_id}, headers={"If-None-Match": "*"}
    )

    assert created.document["id"] == list_id
    assert assert_refused(again, 409, "id-taken")["current_list"] == created.document
    assert assert_refused(only_new, 412, "list-exists")["current_list"] == created.document
    assert again.headers["location"] == only_new.headers["location"] == created.url
    assert bob.creates_list(id=list_id).document["id"] == list_id
    assert alice.creates(id=list_id).document["id"] == list_id
    alice.delete(created.url)
    taken = alice.post(alice.lists, json={"title": "x", "id": list_id})
    assert assert_refused(taken, 409, "id-taken")["deleted_list"]["title"] == "Groceries"


def test_writes_of_lists_with_a_key_are_done_once(alice: User) -> None:
    requests: list[tuple[str, str, Any]] = [("POST", alice.lists, {"title": "Groceries"})]
    for method, url, body in requests:
        first, again = (alice.request(method, url, json=body, headers=key(url)) for _ in range(2))
        assert_replayed(again, first)
    [found] = alice.get(alice.lists).json()
    url = f"{alice.lists}/{found['id']}"
    for number, (method, rest, body) in enumerate(
        [("PATCH", "", {"title": "x"}), ("DELETE", "", None), ("POST", "/restore", None)]
    ):
        first, again = (
            alice.request(method, url + rest, json=body, headers=key(number)) for _ in range(2)
        )
        assert_replayed(again, first)


# Limits


def test_a_user_has_a_maximum_of_lists(serve: Serve) -> None:
    with User(serve(ERRAND_MAX_LISTS="2")) as alice:
        first = alice.creates_list()
        alice.creates_list()
        alice.delete(first.url)

        refused = alice.post(alice.lists, json={"title": "x"})

        problem = assert_refused(refused, 403, "too-many-lists")
        assert "2 lists" in problem["detail"]
        assert alice.post(f"{first.url}/restore").status_code == 200


def test_racing_creations_never_exceed_the_maximum(serve: Serve) -> None:
    with User(serve(ERRAND_MAX_LISTS="5")) as alice:
        with ThreadPoolExecutor(RACERS) as pool:
            creations = [
                pool.submit(alice.post, alice.lists, json={"title": str(number)})
                for number in range(3 * RACERS)
            ]
        statuses = sorted(each.result().status_code for each in creations)

        assert statuses == [201] * 5 + [403] * (3 * RACERS - 5)
        assert len(titles(alice)) == 5


def test_one_of_racing_patches_with_one_etag_succeeds(
    alice: User, groceries: Task, servers: Servers
) -> None:
    stale = {"If-Match": groceries.etag}

    responses = race(
        alice,
        servers,
        [lambda: alice.patch(groceries.url, json={"title": "x"}, headers=stale)] * RACERS,
    )

    statuses = sorted(each.status_code for each in responses)
    assert statuses == [200] + [412] * (RACERS - 1)


def test_an_erased_user_has_no_lists(alice: User, groceries: Task) -> None:
    alice.delete(f"/api/{alice.id}")

    assert titles(alice) == []
    assert_refused(alice.get(groceries.url), 404, "list-not-found")
