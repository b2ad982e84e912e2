"""Promises about the change feed, and copies that it keeps."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Event
from typing import Any
from uuid import uuid4

import httpx

from tests.proof.promises.scene import Account, Fields, Scene
from tests.support.feed import Copy, lists_of, tasks_of

PAGE = 3
POSSIBLE = {200, 201, 204, 404, 422}
"""Another writer may have deleted what a write is about."""


def a_copy_kept_by_the_feed_is_what_is_stored(scene: Scene) -> str:
    """While others write, a reader takes small pages, and compares each digest."""
    user, scale = scene.user, scene.scale
    copy, ended, pages = Copy(user), Event(), count()
    copy.catches_up(limit=1000)  # an account may have much

    def reads() -> None:
        while not ended.is_set() or copy.more:
            copy.reads(limit=PAGE)
            next(pages)

    with ThreadPoolExecutor(scale.writers + 1) as pool:
        reading = pool.submit(reads)
        writing = [pool.submit(_writes, user, scale.writes) for _ in range(scale.writers)]
        try:
            written = sum(each.result() for each in writing)
        finally:
            ended.set()
        reading.result()
    _is_whole(copy)
    return (
        f"{written:,} concurrent writes, {next(pages):,} pages of at most {PAGE} changes: "
        f"{len(copy.tasks):,} tasks, {len(copy.lists):,} lists and the digest are the same"
    )


def _is_whole(copy: Copy) -> None:
    user = copy.user
    for _ in range(3):  # a real user may write, too
        copy.catches_up(limit=1000)
        tasks, lists = tasks_of(user), lists_of(user)
        copy.catches_up(limit=1000)
        if (copy.tasks, copy.lists) == (tasks, lists):
            return
    missing = len(tasks.keys() - copy.tasks.keys()), len(copy.tasks.keys() - tasks.keys())
    raise AssertionError(
        f"the copy lacks {missing[0]} tasks, and has {missing[1]} that are deleted; "
        f"{sum(copy.tasks.get(key) != task for key, task in tasks.items())} are not the same"
    )


def _writes(user: Account, number: int) -> int:
    """Write so often; returns how many were done."""
    chance, done = random.Random(), 0
    tasks, lists = [user.creates("Fed").url], [user.creates_list("Fed").url]
    ways: list[Callable[[str, str], httpx.Response]] = [
        lambda _, __: user.post(user.tasks, json={"title": "New"}),
        lambda task, _: user.put(task, json={"title": str(uuid4())}),
        lambda task, _: user.patch(f"{task}/complete"),
        lambda task, _: user.post(f"{task}/move", json={}),
        lambda task, place: user.put(task, json={"list_id": place.rpartition("/")[2]}),
        lambda task, _: user.delete(task),
        lambda task, _: user.post(f"{task}/restore"),
        lambda _, __: user.post(user.lists, json={"title": "New"}),
        lambda _, place: user.patch(place, json={"title": str(uuid4())}),
        lambda _, place: user.delete(place),
        lambda _, place: user.post(f"{place}/restore"),
        lambda task, _: user.post(f"{user.tasks}/batch", json=_batch(task)),
    ]
    for _ in range(number):
        response = chance.choice(ways)(chance.choice(tasks), chance.choice(lists))
        assert response.status_code in POSSIBLE, f"{response.request.method}: {response.text}"
        done += response.is_success
        if response.status_code == 201:
            path = response.headers["location"]
            (lists if "/lists/" in path else tasks).append(path)
    return done + 2


def _batch(task: str) -> Fields:
    task_id = task.rpartition("/")[2]
    operations = [{"op": "toggle", "id": task_id}, {"op": "update", "id": task_id, "title": "x"}]
    return {"operations": operations, "atomic": False}


def a_page_that_was_lost_can_be_read_again(scene: Scene) -> str:
    """A token gives the same changes until they are changed again."""
    user = scene.user
    begin = _page(user, limit=1000)
    while begin["more"]:
        begin = _page(user, since=begin["next"], limit=1000)
    created = user.creates_many([{"title": f"{number}"} for number in range(7)])
    first = _page(user, since=begin["next"], limit=4)
    again = _page(user, since=begin["next"], limit=4)
    rest = _page(user, since=first["next"], limit=4)
    assert first["changes"] == again["changes"], "the same token gives other changes"
    found = [change["task"] for change in [*first["changes"], *rest["changes"]]]
    assert found == created, "two pages do not have each change once"
    assert (first["more"], rest["more"]) == (True, False)
    return f"{len(created)} changes in 2 pages; the first one read twice is the same"


def _page(user: Account, **params: Any) -> Fields:
    response = user.get(f"/api/{user.id}/changes", params=params)
    assert response.status_code == 200, response.text
    page: Fields = response.json()
    return page


@contextmanager
def _passing(scene: Scene) -> Iterator[Account]:
    """Another user whose id is made up."""
    scene.requires_made_up_users()
    with Account(scene.urls) as user:
        try:
            yield user
        finally:
            user.cleans_up()


def an_erased_user_has_nothing(scene: Scene) -> str:
    """Of a user whose id is made up here: no promise erases another one."""
    with _passing(scene) as user:
        for number in range(3):
            user.creates(str(number))
        user.creates_list()
        token = _page(user)["next"]
        assert user.cleans_up()
        found = [user.get(path).json() for path in (user.tasks, user.trash, user.lists)]
        assert not any(found), f"an erased user has {found}"
        gone = user.get(f"/api/{user.id}/changes", params={"since": token})
        assert gone.status_code == 410, f"an old token of an erased user: {gone.text}"
    return "3 tasks and 1 list are erased, and old tokens are refused with 410"


def completed_tasks_are_cleared(scene: Scene) -> str:
    """All of them, and no other: so only of a user whose id is made up here."""
    with _passing(scene) as user:
        user.creates_many([{"title": "x", "completed": number % 2 == 0} for number in range(9)])
        response = user.delete(user.tasks, params={"completed": "true"})
        assert response.json() == {"deleted": 5}, response.text
        left, trash = user.lists_all(user.tasks), user.lists_all(user.trash)
        assert [task["completed"] for task in left] == [False] * 4
        assert [task["completed"] for task in trash] == [True] * 5
    return "of 9 tasks the 5 completed ones are in the trash"
