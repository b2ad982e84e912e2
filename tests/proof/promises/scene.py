"""The accounts by which the promises are shown, and what they leave behind."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from threading import Barrier
from typing import Any, NamedTuple, Self, TypeVar
from uuid import uuid4

import httpx

from tests.support.users import User

Fields = dict[str, Any]
Result = TypeVar("Result")

PATIENCE = 90.0
"""A quota is that of a minute."""
QUICKLY_REFILLED = 10_000
"""Requests a minute: so many come back between two requests that none is seen to go."""
USED_UP = "the quota of requests was used up meanwhile"
TO_BE_SENT_AGAIN = (429, 503)
OUTCOME_UNKNOWN = "outcome-unknown"


class NotShown(Exception):
    """The promise cannot be shown on this deployment; the text says why."""


class Scale(NamedTuple):
    """How much each promise does."""

    at_once: int = 64
    rounds: int = 4
    writers: int = 6
    writes: int = 40
    tasks: int = 60
    lists: int = 400


SMALL = Scale(at_once=12, rounds=1, writers=3, writes=12, tasks=16, lists=30)
"""Enough to show each promise, in a few seconds."""


class Account(User):
    """A user of the deployment: a real one with a token, or else one with a made-up id."""

    def __init__(self, urls: Sequence[str], token: str | None = None) -> None:
        super().__init__(urls[0], verify=urls[0].startswith("https:"))
        self.next_server = cycle(urls)
        self.is_made_up = token is None
        self.made: set[str] = set()
        self.requests = 0
        self.waited = 0.0
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        """With the id of the token."""
        entered = super().__enter__()
        if not self.is_made_up:
            self.has_id(self.reads("/api/me")["user_id"])
        return entered

    def send(
        self, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """Send it; again, if there were too many requests, or the server was busy."""
        deadline = time.monotonic() + PATIENCE
        while True:
            response = super().send(request, stream=stream, **options)
            self.requests += 1
            if not _is_to_be_sent_again(response) or time.monotonic() > deadline:
                break
            pause = float(response.headers.get("retry-after", 1))
            self.waited += pause
            time.sleep(pause)
        if response.status_code == 428:
            raise NotShown("this server refuses changes without If-Match")
        if response.status_code == 201 and not stream:
            self.made.add(response.headers.get("location", ""))
        return response

    def creates_many(self, fields: Sequence[Fields]) -> list[Fields]:
        """Create tasks, by batches."""
        created: list[Fields] = []
        for start in range(0, len(fields), 100):
            operations = [{"op": "create", **each} for each in fields[start : start + 100]]
            response = self.post(f"{self.tasks}/batch", json={"operations": operations})
            assert response.status_code == 200, response.text
            created += [each["task"] for each in response.json()["results"]]
        self.made |= {f"{self.tasks}/{each['id']}" for each in created}
        return created

    def reads(self, path: str) -> Fields:
        """The document at a path."""
        response = self.get(path)
        assert response.status_code == 200, f"GET {path}: {response.status_code} {response.text}"
        document: Fields = response.json()
        return document

    def lists_all(self, path: str, **params: Any) -> list[Fields]:
        """All items of a list, page by page."""
        return [each for page in self.pages(path, **params) for each in page]

    def pages(self, path: str, **params: Any) -> list[list[Fields]]:
        """The pages of a list."""
        response, pages = self.get(path, params=params), []
        while True:
            assert response.status_code == 200, f"{response.url}: {response.text}"
            pages.append(response.json())
            if "next" not in response.links:
                return pages
            response = self.get(response.links["next"]["url"])

    def cleans_up(self) -> str:
        """Remove what was made; returns what is left of it. No other task or list is touched."""
        if self.is_made_up:
            response = self.delete(f"/api/{self.id}")
            assert response.status_code == 204, response.text
            return f"the made-up user {self.id} is erased"
        # Tasks first: the deletion of a list would take others along.
        made = sorted(self.made - {""}, key=lambda path: "/lists/" in path)
        for path in made:
            response = self.delete(path, headers={"If-Match": "*"})
            assert response.status_code in (204, 404), f"DELETE {path}: {response.text}"
        return f"{len(made)} tasks and lists of {self.id} are in the trash, until it is purged"


def _is_to_be_sent_again(response: httpx.Response) -> bool:
    if response.status_code not in TO_BE_SENT_AGAIN:
        return False
    response.read()
    return OUTCOME_UNKNOWN not in response.text


@dataclass(frozen=True)
class Scene:
    """Two users of a deployment, and how much they do."""

    urls: Sequence[str]
    user: Account
    other: Account
    scale: Scale

    @property
    def has_tokens(self) -> bool:
        """Whether the deployment requires tokens."""
        return not self.user.is_made_up

    def requires_tokens(self) -> None:
        """Raise if there are none: then every path is open to all."""
        if not self.has_tokens:
            raise NotShown("there are no tokens")

    def requires_made_up_users(self) -> None:
        """Raise unless all data of the user may be lost."""
        if self.has_tokens:
            raise NotShown("an account with a token may be a real one")


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of calls that begin at the same time."""
    barrier = Barrier(len(calls))

    def begun(call: Callable[[], Result]) -> Result:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(begun, calls))


def new_mark() -> str:
    """A text that no task has yet."""
    return f"proof-{uuid4().hex[:12]}"


def quota_of(user: User) -> int | None:
    """The requests that the user may send in a minute; None if they are very many."""
    policy = user.get(user.lists).headers.get("RateLimit-Policy", "")
    quota = int(policy.partition(";q=")[2].partition(";")[0] or QUICKLY_REFILLED)
    return quota if quota < QUICKLY_REFILLED else None
