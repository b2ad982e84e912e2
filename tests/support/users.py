"""Users of a server, and their tasks."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Any
from uuid import uuid4

import httpx

from tests.support.issuer import Issuer

MOST_PAGES = 1000


@dataclass
class Task:
    """A task or list that exists when a test begins."""

    url: str
    document: dict[str, Any]

    @property
    def etag(self) -> str:
        """The ETag that it then had."""
        return f'"{self.document["revision"]}"'


def is_of_events(request: httpx.Request) -> bool:
    """Whether the response may have no end."""
    return request.url.path.endswith("/stream")


def with_first_event(response: httpx.Response) -> httpx.Response:
    """The response up to its first event; the rest of the stream is not read."""
    with closing(response):
        if response.headers.get("content-type") != "text/event-stream":
            response.read()
            return response
        content = b""
        for content in accumulate(response.iter_raw()):
            if b"data: " in content:
                break
    return httpx.Response(
        response.status_code, headers=response.headers, content=content, request=response.request
    )


def new_address() -> str:
    """An address of this machine from which no request has come yet: it has a whole quota."""
    network, subnet, host, *_ = uuid4().bytes
    return f"127.{network}.{subnet}.{host or 1}"


class User(httpx.Client):
    """A client of one user; its paths are relative to the server."""

    def __init__(
        self,
        server: str,
        issuer: Issuer | None = None,
        address: str | None = None,
        *,
        verify: bool = False,
    ) -> None:
        """A new user, whose requests come from this address of the machine's own."""
        self.has_id(str(uuid4()))
        token = {"Authorization": f"Bearer {issuer.token(self.id)}"} if issuer else {}
        # Without TLS: to load the authorities takes longer than most tests.
        transport = httpx.HTTPTransport(verify=False, local_address=address) if address else None
        super().__init__(
            base_url=server, timeout=30, headers=token, verify=verify, transport=transport
        )
        self.next_server: Iterator[str] = repeat(server)

    def has_id(self, user_id: str) -> None:
        """Make the paths those of this user."""
        self.id = user_id
        self.tasks = f"/api/{user_id}/tasks"
        self.trash = f"/api/{user_id}/trash"
        self.lists = f"/api/{user_id}/lists"

    def send(
        self, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """Send it to the server whose turn it is; of a stream of events, read the first."""
        server = httpx.URL(next(self.next_server))
        request.url = request.url.copy_with(host=server.host, port=server.port)
        response = super().send(request, stream=stream or is_of_events(request), **options)
        return response if stream or response.is_closed else with_first_event(response)

    def creates(self, title: str = "Buy milk", **fields: Any) -> Task:
        """Create a task."""
        response = self.post(self.tasks, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        return Task(response.headers["location"], response.json())

    def creates_list(self, title: str = "Groceries", **fields: Any) -> Task:
        """Create a list."""
        response = self.post(self.lists, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        return Task(response.headers["location"], response.json())

    def creates_calendar(self) -> str:
        """Create a secret path of the calendar."""
        response = self.post(f"/api/{self.id}/calendar")
        assert response.status_code == 201, response.text
        path: str = response.json()["path"]
        return path


def followed(
    user: httpx.Client, page: httpx.Response, relation: str = "next", *, most: int = MOST_PAGES
) -> Iterator[httpx.Response]:
    """The page, and those to which its links lead one after the other."""
    for _ in range(most):
        assert page.status_code == 200, page.text
        yield page
        if relation not in page.links:
            return
        page = user.get(page.links[relation]["url"])
    raise AssertionError("the links do not end")


def listed_in(user: User, list_id: str) -> set[str]:
    """The titles of the tasks of a list."""
    return {task["title"] for task in user.get(user.tasks, params={"list_id": list_id}).json()}


def in_trash(user: User, **filters: Any) -> list[dict[str, Any]]:
    response = user.get(user.trash, params=filters)
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json()
    return found


def restored(user: User, task: Task, **headers: str) -> httpx.Response:
    return user.post(f"{task.url}/restore", headers=headers)


def all_tasks(http: httpx.Client, tasks: str) -> list[dict[str, Any]]:
    """All tasks of a user, page by page."""
    found: list[dict[str, Any]] = []
    url = f"{tasks}?limit=100"
    while url:
        page = http.get(url)
        assert page.status_code == 200, page.text
        found += page.json()
        url = page.links.get("next", {}).get("url", "")
    return found
