"""Promises about versions: ETag, If-Match, If-None-Match and revisions."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import httpx

from tests.proof.promises.scene import Account, Fields, Scene, at_once
from tests.support.users import Task

TEXT = "  Exactly\t\U0001f600 so \n"


def of_concurrent_changes_of_one_version_one_is_done(scene: Scene) -> str:
    """Each round, many name the same version; the others are shown the winner's."""
    user, number = scene.user, scene.scale.at_once
    ways = [_updates, _patches, _toggles, _moves]
    for each in range(max(scene.scale.rounds, len(ways))):
        task = user.creates("Whose?")
        change = ways[each % len(ways)]
        responses = at_once([partial(change, user, task, str(name)) for name in range(number)])
        statuses = Counter(response.status_code for response in responses)
        assert statuses == {200: 1, 412: number - 1}, f"{number} changes: {dict(statuses)}"
        [won] = [response.json() for response in responses if response.status_code == 200]
        shown = [response.json()["current"] for response in responses if response.is_error]
        assert all(each == won for each in shown), "a refusal shows another version"
        assert user.reads(task.url) == won, "another version is stored"
    return f"{number} concurrent changes of one version: 1 done, {number - 1} refused"


def _updates(user: Account, task: Task, name: str) -> httpx.Response:
    return user.put(task.url, json={"title": name}, headers={"If-Match": task.etag})


def _patches(user: Account, task: Task, name: str) -> httpx.Response:
    kind = {"Content-Type": "application/merge-patch+json"}
    return user.patch(task.url, json={"title": name}, headers={"If-Match": task.etag, **kind})


def _toggles(user: Account, task: Task, name: str) -> httpx.Response:
    return user.patch(f"{task.url}/complete", headers={"If-Match": task.etag})


def _moves(user: Account, task: Task, name: str) -> httpx.Response:
    return user.post(f"{task.url}/move", json={}, headers={"If-Match": task.etag})


def _deletes(user: Account, task: Task, name: str) -> httpx.Response:
    return user.delete(task.url, headers={"If-Match": task.etag})


def _restores(user: Account, task: Task, name: str) -> httpx.Response:
    return user.post(f"{task.url}/restore", headers={"If-Match": task.etag})


def a_change_of_an_old_version_is_refused_and_changes_nothing(scene: Scene) -> str:
    """Every way to change a task or a list."""
    user, task = scene.user, scene.user.creates("Old")
    now = user.put(task.url, json={"title": "New"}).json()
    ways = (_updates, _patches, _toggles, _moves, _deletes, _restores)
    for change in ways:
        _is_refused(change(user, task, "Newer"), now, "current")
        assert user.reads(task.url) == now, f"{change.__name__} has changed the task"
    listed = user.creates_list("Old")
    newer = user.patch(listed.url, json={"title": "New"}).json()
    for change in (_patches, _deletes, _restores):
        _is_refused(change(user, listed, "Newer"), newer, "current_list")
        assert user.reads(listed.url) == newer, f"{change.__name__} has changed the list"
    return f"{len(ways)} ways to change a task, and 3 to change a list, are refused"


def _is_refused(response: httpx.Response, now: Fields, member: str) -> None:
    assert response.status_code == 412, f"{response.request.method}: {response.text}"
    assert response.json()[member] == now, f"{response.text} does not show the present version"


def a_read_of_a_known_version_has_no_body(scene: Scene) -> str:
    """A task and the lists; after a change they are sent again."""
    user, task = scene.user, scene.user.creates("Known")
    listed = user.creates_list("Known")
    paths = [task.url, user.tasks, user.trash, user.lists, listed.url]
    known = {path: user.get(path).headers["etag"] for path in paths}
    for path, etag in known.items():
        response = user.get(path, headers={"If-None-Match": etag})
        assert (response.status_code, response.content) == (304, b""), f"GET {path}"
    user.put(task.url, json={"title": "Changed"})
    user.patch(listed.url, json={"title": "Changed"})
    for path, etag in known.items():
        response = user.get(path, headers={"If-None-Match": etag})
        assert response.status_code == 200, f"GET {path} hides a change"
    return f"{len(paths)} paths respond with 304, and after a change with 200"


def concurrent_toggles_are_all_done(scene: Scene) -> str:
    """In the order of their revisions, each is the opposite of the one before."""
    user, number = scene.user, scene.scale.at_once
    task = user.creates("Toggled")
    responses = at_once([partial(user.patch, f"{task.url}/complete")] * number)
    statuses = {response.status_code for response in responses}
    assert statuses == {200}, f"toggles without a version: {statuses}"
    done = sorted((each.json() for each in responses), key=lambda shown: shown["revision"])
    expected = [place % 2 == 0 for place in range(number)]
    assert [each["completed"] for each in done] == expected, "a toggle is lost"
    assert user.reads(task.url) == done[-1], "the latest toggle is not stored"
    return f"{number} concurrent toggles have {number} effects"


def no_revision_is_used_twice(scene: Scene) -> str:
    """Concurrent writes of several tasks; a later write has a later revision."""
    user, scale = scene.user, scene.scale
    tasks = [user.creates(f"{number}") for number in range(scale.writers)]

    def writes(task: Task) -> list[int]:
        revisions = []
        for number in range(scale.writes):
            way = number % 3
            if way == 0:
                response = user.put(task.url, json={"title": f"{number}"})
            elif way == 1:
                response = user.patch(f"{task.url}/complete")
            else:
                response = user.post(user.tasks, json={"title": "New"})
            assert response.is_success, response.text
            assert response.headers["etag"] == f'"{response.json()["revision"]}"'
            revisions.append(response.json()["revision"])
        return revisions

    found = at_once([partial(writes, each) for each in tasks])
    for revisions in found:
        assert revisions == sorted(revisions), "a later write has an earlier revision"
    everything = [each for revisions in found for each in revisions]
    assert len({*everything}) == len(everything), "two writes have the same revision"
    return f"{len(everything):,} writes of {len(tasks)} concurrent writers, as many revisions"


def what_a_write_returns_is_what_is_read(scene: Scene) -> str:
    """After each way to write, the task is stored as the response has it."""
    user, writes = scene.user, 0
    for number in range(scene.scale.rounds * 4):
        task = user.creates(f"Stored {number}", description=TEXT)
        shown = task.document
        assert shown["description"] == TEXT, "a text is not stored as it was sent"
        assert user.reads(task.url) == shown, "a new task is not stored as it was shown"
        for write in WAYS:
            response = write(user, Task(task.url, shown))
            assert response.status_code == 200, response.text
            stored, before, shown = user.reads(task.url), shown, response.json()
            assert stored == shown, f"{response.request.method} shows what is not stored"
            assert stored["revision"] > before["revision"], "it has no new revision"
        writes += 1 + len(WAYS)
    return f"{writes} writes, each read back"


def _describes(user: Account, task: Task) -> httpx.Response:
    return user.put(task.url, json={"description": None, "priority": "high"})


def _toggles_any(user: Account, task: Task) -> httpx.Response:
    return user.patch(f"{task.url}/complete")


WAYS: list[Callable[[Account, Task], httpx.Response]] = [
    _describes,
    partial(_patches, name="Patched"),
    _toggles_any,
    partial(_moves, name=""),
    _toggles_any,
]
