"""JSON Merge Patch (RFC 7396): named fields are changed, null fields are removed."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.contract import assert_refused
from tests.support.responses import assert_faults, assert_problem
from tests.support.users import Task, User

MERGE_PATCH = "application/merge-patch+json"
JSON = "application/json"
TYPES = f"{MERGE_PATCH}, {JSON}"

every_type = pytest.mark.parametrize("content_type", [MERGE_PATCH, JSON, f"{MERGE_PATCH.upper()}"])


def patch(
    user: User, task: Task, changes: Any, content_type: str = MERGE_PATCH, **headers: str
) -> httpx.Response:
    return user.patch(task.url, json=changes, headers={"Content-Type": content_type, **headers})


@every_type
@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Buy oat milk"},
        {"description": "One litre"},
        {"description": None},
        {"completed": True},
        {"title": "x", "description": None, "completed": True},
    ],
)
def test_patch_is_merged_into_the_task(
    alice: User, task: Task, changes: dict[str, Any], content_type: str
) -> None:
    response = patch(alice, task, changes, content_type)

    assert response.status_code == 200
    patched = response.json()
    stamped = {name: patched[name] for name in ("updated_at", "completed_at", "revision")}
    assert patched == {**task.document, **changes, **stamped}
    assert patched["completed_at"] == (patched["updated_at"] if patched["completed"] else None)
    assert response.headers["etag"] == f'"{patched["revision"]}"' > task.etag
    assert alice.get(task.url).json() == patched


def test_required_field_cannot_be_removed(alice: User, task: Task) -> None:
    response = patch(alice, task, {"title": None, "completed": None, "unknown": None})

    assert_faults(response, "/title", "/completed", "/unknown")
    assert alice.get(task.url).json() == task.document


@pytest.mark.parametrize("value", [None, [], "title", 1, [{"title": "x"}]])
def test_patch_that_is_no_object_is_refused(alice: User, task: Task, value: Any) -> None:
    response = alice.patch(
        task.url,
        content=httpx.Request("PATCH", "", json=value).content,
        headers={"Content-Type": MERGE_PATCH},
    )

    assert_faults(response, "")


def test_empty_patch_changes_nothing(alice: User, task: Task) -> None:
    response = patch(alice, task, {})

    assert response.status_code == 200
    assert response.json() == task.document
    assert response.headers["etag"] == task.etag
    assert alice.get(alice.tasks).headers["etag"] == f"W/{task.etag}"


def test_empty_patch_obeys_if_match(alice: User, task: Task) -> None:
    stale = patch(alice, task, {}, **{"If-Match": '"1"'})
    fresh = patch(alice, task, {}, **{"If-Match": task.etag})
    alice.delete(task.url)
    gone = patch(alice, task, {})

    assert assert_problem(stale, 412, "task-changed")["current"] == task.document
    assert fresh.status_code == 200
    assert_problem(gone, 404, "task-not-found")


def test_patch_with_an_equal_value_is_a_change(alice: User, task: Task) -> None:
    patched = patch(alice, task, {"title": task.document["title"]}).json()

    assert patched["revision"] > task.document["revision"]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json-patch+json", f"{MERGE_PATCH};charset=x"]
)
def test_patch_of_another_media_type_returns_415_with_accept_patch(
    alice: User, task: Task, content_type: str
) -> None:
    response = patch(alice, task, {"title": "x"}, content_type)

    assert_refused(response, 415, "unsupported-media-type")
    assert response.headers["accept-patch"] == TYPES
    assert alice.get(task.url).json() == task.document


def test_merge_patch_media_type_is_for_patch_alone(alice: User, task: Task) -> None:
    response = alice.put(task.url, json={"title": "x"}, headers={"Content-Type": MERGE_PATCH})

    assert_refused(response, 415, "unsupported-media-type")
    assert "accept-patch" not in response.headers


def test_options_returns_accept_patch(alice: User, task: Task) -> None:
    assert alice.options(task.url).headers["accept-patch"] == TYPES
    assert "accept-patch" not in alice.options(alice.tasks).headers
    assert "accept-patch" not in alice.options(f"{task.url}/complete").headers


def test_racing_patches_of_different_fields_are_all_applied(alice: User, task: Task) -> None:
    patches = [{"title": "new"}, {"description": None}, {"completed": True}] * 5

    with ThreadPoolExecutor(len(patches)) as pool:
        answers = list(pool.map(lambda changes: patch(alice, task, changes), patches))

    assert {answer.status_code for answer in answers} == {200}
    expected = {"title": "new", "description": None, "completed": True}
    assert {**alice.get(task.url).json(), **expected} == alice.get(task.url).json()
    revisions = [answer.json()["revision"] for answer in answers]
    assert len(set(revisions)) == len(patches)
