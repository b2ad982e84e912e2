"""Promises about long polls and streams: a change wakes those who wait for it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from threading import Event

import httpx

from tests.proof.promises.scene import USED_UP, Account, NotShown, Scene
from tests.support.events import streaming

SECONDS = 5
"""Of a wait. A change of another process is found within a second."""
WAITERS = 4
PAUSE = 0.3
"""Until all of them wait."""


def a_change_wakes_each_long_poll(scene: Scene) -> str:
    """Several wait at once; each is given the change before its time is over."""
    delays = [delay for _ in range(scene.scale.rounds) for delay in _woken(scene.user)]
    return _described(delays, "long polls")


def _woken(user: Account) -> list[float]:
    token, waited = _newest(user), user.waited
    with ThreadPoolExecutor(WAITERS) as pool:
        waiting = [pool.submit(_polls, user, token) for _ in range(WAITERS)]
        time.sleep(PAUSE)
        written = time.monotonic()
        task = user.creates("Awaited")
        answers = [each.result() for each in waiting]
    if user.waited > waited:
        raise NotShown(USED_UP)
    for changes, _ in answers:
        assert task.document in changes, f"a long poll was not woken within {SECONDS} s"
    return [ended - written for _, ended in answers]


def _polls(user: Account, token: str) -> tuple[list[object], float]:
    asked = {"since": token, "wait": str(SECONDS)}
    page = user.get(f"/api/{user.id}/changes", params=asked).json()
    return [change.get("task") for change in page["changes"]], time.monotonic()


def _newest(user: Account) -> str:
    page = user.reads(f"/api/{user.id}/changes?limit=1000")
    while page["more"]:
        page = user.reads(f"/api/{user.id}/changes?limit=1000&since={page['next']}")
    token: str = page["next"]
    return token


def a_long_poll_without_a_change_ends_in_time(scene: Scene) -> str:
    """With nothing, and a token with which to go on."""
    user = scene.user
    began = time.monotonic()
    page = user.reads(f"/api/{user.id}/changes?wait=1&since={_newest(user)}")
    assert (page["changes"], page["more"]) == ([], False)
    return f"after {time.monotonic() - began:.1f} s of 1 s it has no changes, and a token"


def a_change_wakes_each_stream(scene: Scene) -> str:
    """Several streams of one user; each sends all changes, one after the other."""
    user, rounds, delays = scene.user, scene.scale.rounds, []
    token = _newest(user)
    with ThreadPoolExecutor(WAITERS) as pool, _listeners(user, token, pool) as heard_by_all:
        for number in range(rounds):
            time.sleep(PAUSE)
            written = time.monotonic()
            task = user.creates(f"Streamed {number}")
            delays += [at - written for at in heard_by_all(task.document["id"])]
    return _described(delays, "events of streams")


@contextmanager
def _listeners(
    user: Account, token: str, pool: ThreadPoolExecutor
) -> Iterator[Callable[[str], list[float]]]:
    """Streams that are open; calling it waits for a task on each, and returns when it came."""
    heard: list[dict[str, float]] = [{} for _ in range(WAITERS)]
    ended = Event()
    listening = [pool.submit(_listens, user, token, each, ended) for each in heard]

    def heard_by_all(task_id: str) -> list[float]:
        deadline = time.monotonic() + SECONDS
        while not all(task_id in each for each in heard):
            late = time.monotonic() > deadline
            assert not late, f"a stream was not woken within {SECONDS} s"
            time.sleep(0.005)
        return [each[task_id] for each in heard]

    try:
        yield heard_by_all
    finally:
        ended.set()
        user.creates("The last one")
        for each in listening:
            each.result()


def _listens(user: Account, token: str, heard: dict[str, float], ended: Event) -> None:
    try:
        with streaming(user, token, timeout=SECONDS) as events:
            for event in events:
                now = time.monotonic()
                heard |= {each["task"]["id"]: now for each in event.data["changes"]}
                if ended.is_set():
                    return
    except httpx.ReadTimeout:
        return  # the one that waits for the event says so


def _described(delays: list[float], what: str) -> str:
    return (
        f"{len(delays)} {what} were woken, half of them within {median(delays) * 1000:.0f} ms, "
        f"all within {max(delays) * 1000:.0f} ms"
    )
