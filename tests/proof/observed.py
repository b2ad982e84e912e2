"""What clients observe who read and write one task at once."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.proof.clients import Kind
from tests.proof.history import Call, State
from tests.support.users import Task, User

KINDS = [None, None, Kind.UPDATE, Kind.UPDATE, Kind.TOGGLE, Kind.TOGGLE, Kind.DELETE, Kind.RESTORE]
ROUTES = {
    None: ("GET", ""),
    Kind.UPDATE: ("PUT", ""),
    Kind.TOGGLE: ("PATCH", "/complete"),
    Kind.DELETE: ("DELETE", ""),
    Kind.RESTORE: ("POST", "/restore"),
}


def seen_by_many(clients: Sequence[User], task: Task, calls_of_each: int) -> list[Call]:
    """The calls of several clients who use the task at once."""

    def one_client(number: int) -> list[Call]:
        names = [f"{number} {count}" for count in range(calls_of_each)]
        return list(map(_one_of(clients[number], task, random.Random(random.random())), names))

    with ThreadPoolExecutor(len(clients)) as pool:
        return [each for calls in pool.map(one_client, range(len(clients))) for each in calls]


def _one_of(client: User, task: Task, chance: random.Random) -> Callable[[str], Call]:
    """A function that sends a random request about the task, and returns the call."""
    known = task.document["revision"]

    def does(title: str) -> Call:
        nonlocal known
        kind = chance.choice(KINDS)
        changes = kind in (Kind.UPDATE, Kind.TOGGLE, Kind.DELETE)
        base = known if changes and chance.random() < 0.5 else None
        headers = {} if base is None else {"If-Match": f'"{base}"'}
        body = {"title": title} if kind is Kind.UPDATE else None
        method, place = ROUTES[kind]
        began = time.monotonic()
        response = client.request(method, task.url + place, headers=headers, json=body)
        ended = time.monotonic()
        document = response.json() if response.content else {}
        document = document.get("current", document)
        shown = state_of(document) if "revision" in document else None
        known = shown.revision if shown else known
        return Call(kind, began, ended, response.status_code, shown, title, base)

    return does


def state_of(document: dict[str, Any]) -> State:
    """The task of a response, as a history has it."""
    return State(document["revision"], document["title"], document["completed"])
