"""Devices of one user that write at once, through servers that die."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx

from tests.proof.clients import is_worth_another_try

Fields = dict[str, Any]

PATIENCE = 60.0
AT_ONCE = 0.02
"""Devices whose requests begin within so many seconds compete."""


class Device:
    """One of a user's devices: it sends each write until it has a response."""

    def __init__(self, urls: Callable[[], Sequence[str]], user_id: str, seed: str) -> None:
        self.chance = random.Random(seed)
        self._urls = urls
        self._user = f"/api/{user_id}"
        self._http = httpx.Client(timeout=30, trust_env=False, verify=False)

    def creates(self, **fields: Any) -> Fields:
        """Create a task."""
        response = self.sends("POST", "/tasks", body=fields)
        assert response.status_code == 201, response.text
        created: Fields = response.json()
        return created

    def lists(self, what: str = "tasks", **filters: Any) -> list[Fields]:
        """The tasks with these filters, or the trash, or the lists of tasks; page by page."""
        found: list[Fields] = []
        path = f"/{what}?{httpx.QueryParams(filters)}"
        while path:
            response = self.sends("GET", path)
            assert response.status_code == 200, response.text
            found += response.json()
            following = response.links.get("next", {}).get("url", "")
            path = following.removeprefix(self._user)
        return found

    def waits(self) -> None:
        """Let other devices go first, perhaps."""
        time.sleep(self.chance.uniform(0, AT_ONCE))

    def sends(
        self, method: str, path: str, headers: Fields | None = None, body: Fields | None = None
    ) -> httpx.Response:
        """The response to a request, which is sent again if it is lost."""
        key = {} if method == "GET" else {"Idempotency-Key": str(uuid4())}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            url = self.chance.choice(self._urls()) + self._user + path
            try:
                response = self._http.request(
                    method, url, headers={**(headers or {}), **key}, json=body
                )
            except httpx.TransportError:
                continue
            if not is_worth_another_try(response):
                return response
            time.sleep(AT_ONCE)
        raise AssertionError("no server has responded in time")

    def closes(self) -> None:
        """Close every connection."""
        self._http.close()
