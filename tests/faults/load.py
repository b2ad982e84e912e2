"""Clients that write while a fault happens, and the check of what they were answered.

A write that was confirmed is there once. One that was refused as not done is not there. One whose
outcome is unknown is there at most once.
"""

import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum, auto
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from tests.support.polling import eventually
from tests.support.users import all_tasks

CLIENTS = 8
USERS = 4
PATIENCE = 60.0
PAUSE = 0.01
HTTP_TIMEOUT = 3.0
MANY_TRIES = 100_000

NOTHING_WAS_CHANGED = {
    f"/problems#{name}"
    for name in ("database-away", "database-failing", "overloaded", "too-many-connections")
}

Urls = Callable[[], Sequence[str]]
Fields = dict[str, Any]


class Outcome(StrEnum):
    """What the response to a write says about it."""

    CONFIRMED = auto()
    REFUSED = auto()
    UNKNOWN = auto()


class Violations(NamedTuple):
    """Titles of writes that contradict their responses."""

    lost: list[str]
    doubled: list[str]
    refused_but_there: list[str]


NONE = Violations([], [], [])


class Writer:
    """A client that creates tasks, and toggles one of them."""

    def __init__(
        self, urls: Urls, user_id: str, name: str, seed: int, pause: float = PAUSE
    ) -> None:
        self.user = f"/api/{user_id}"
        self.outcomes: dict[str, Outcome] = {}
        self.toggles = 0
        self.seconds: list[float] = []
        self.confirmed_at: list[float] = []
        self.responses: Counter[str] = Counter()
        self.name = name
        self.toggled = ""
        self._urls = urls
        self._pause = pause
        self._chance = random.Random(f"{seed} {name}")
        self._http = httpx.Client(timeout=HTTP_TIMEOUT, trust_env=False)

    def writes(self, ended: threading.Event) -> None:
        """Write until that event; the last writes are sent until they are confirmed."""
        with self._http:
            self.toggled = self._creates(f"{self.name} toggled", MANY_TRIES)
            while not ended.is_set():
                title = f"{self.name} {len(self.outcomes)}"
                self._creates(title, self._chance.choice([1, 2, MANY_TRIES]))
                self._toggles()
                time.sleep(self._chance.uniform(0, 2 * self._pause))

    def _creates(self, title: str, tries: int) -> str:
        """Create a task; returns its id if that was confirmed."""
        self.outcomes[title] = Outcome.UNKNOWN
        self.outcomes[title], task_id = self._sends("POST", "/tasks", tries, {"title": title})
        return task_id

    def _toggles(self) -> None:
        path = f"/tasks/{self.toggled}/complete"
        outcome, _ = self._sends("PATCH", path, MANY_TRIES)
        assert outcome is Outcome.CONFIRMED, "no server has confirmed the write in time"
        self.toggles += 1

    def _sends(
        self, method: str, path: str, tries: int, body: dict[str, str] | None = None
    ) -> tuple[Outcome, str]:
        """The outcome of a write that is sent up to so often, with one key."""
        key = {"Idempotency-Key": str(uuid4())}
        deadline = time.monotonic() + PATIENCE
        all_refused = True
        while tries and time.monotonic() < deadline:
            tries -= 1
            url = self._chance.choice(self._urls()) + self.user + path
            outcome, task_id = self._tried(httpx.Request(method, url, headers=key, json=body))
            if outcome is Outcome.CONFIRMED:
                return outcome, task_id
            all_refused &= outcome is Outcome.REFUSED
            time.sleep(PAUSE)
        return Outcome.REFUSED if all_refused else Outcome.UNKNOWN, ""

    def _tried(self, request: httpx.Request) -> tuple[Outcome, str]:
        began = time.monotonic()
        try:
            response = self._http.send(request)
        except httpx.TransportError as error:
            self.responses[type(error).__name__] += 1
            return Outcome.UNKNOWN, ""
        self.seconds.append(time.monotonic() - began)
        document = response.json()
        if response.is_success:
            self.responses[str(response.status_code)] += 1
            self.confirmed_at.append(time.time())
            return Outcome.CONFIRMED, document["id"]
        kind = document["type"]
        self.responses[kind] += 1
        if kind in NOTHING_WAS_CHANGED:
            return Outcome.REFUSED, ""
        assert response.status_code == 503 or kind.endswith("key-in-use"), response.text
        return Outcome.UNKNOWN, ""


class Load:
    """Some clients that write at once."""

    def __init__(self, urls: Urls, clients: int, pause: float) -> None:
        seed = secrets.randbits(32)
        print(f"seed {seed}")
        self._urls = urls
        self._ended = threading.Event()
        users = [str(uuid4()) for _ in range(USERS)]
        self.writers = [
            Writer(urls, users[number % USERS], f"client {number}", seed, pause)
            for number in range(clients)
        ]
        self._threads = [
            threading.Thread(target=self._lives, args=[each], daemon=True) for each in self.writers
        ]
        self._failures: list[BaseException] = []
        for thread in self._threads:
            thread.start()

    def flows(self, writes: int = 3) -> None:
        """Wait until each client had so many writes confirmed since now."""
        before = [each.toggles for each in self.writers]
        assert eventually(
            lambda: (
                bool(self._failures)
                or all(
                    each.toggles >= count + writes
                    for each, count in zip(self.writers, before, strict=True)
                )
            ),
            PATIENCE,
        ), f"clients wait: {self.responses()}"
        self._raise_failures()

    def responses(self) -> Counter[str]:
        """How often each status, kind of problem, or error of the connection came."""
        return sum((each.responses for each in self.writers), Counter())

    def ends(self) -> None:
        """Wait for the last writes."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._raise_failures()

    def violations(self) -> Violations:
        """The writes that contradict their responses; first `ends` must be called."""
        found = Violations([], [], [])
        with httpx.Client(base_url=self._urls()[0], timeout=30, trust_env=False) as http:
            tasks = {each.user: all_tasks(http, f"{each.user}/tasks") for each in self.writers}
        for writer in self.writers:
            compare(writer, tasks[writer.user], found)
        return found

    def _lives(self, writer: Writer) -> None:
        try:
            writer.writes(self._ended)
        except BaseException as error:
            self._failures.append(error)  # `flows` and `ends` raise it

    def _raise_failures(self) -> None:
        if self._failures:
            raise self._failures[0]


def compare(writer: Writer, tasks: list[Fields], found: Violations) -> None:
    """Add to the violations what is not as a client was answered."""
    there = Counter(each["title"] for each in tasks)
    for title, outcome in writer.outcomes.items():
        if outcome is Outcome.CONFIRMED and not there[title]:
            found.lost.append(title)
        if outcome is Outcome.REFUSED and there[title]:
            found.refused_but_there.append(title)
        if there[title] > 1:
            found.doubled.append(title)
    for task in tasks:
        if task["id"] == writer.toggled and task["completed"] is not bool(writer.toggles % 2):
            found.lost.append(f"{writer.toggles} toggles of {writer.name}")


@contextmanager
def under_load(urls: Urls, clients: int = CLIENTS, pause: float = PAUSE) -> Iterator[Load]:
    """Clients write meanwhile; afterwards all is as they were answered, and they are served."""
    load = Load(urls, clients, pause)
    try:
        load.flows()
        yield load
        load.flows()
    finally:
        load.ends()
    assert load.violations() == NONE
    print(dict(load.responses()))
