"""Promises about other users: what is theirs can neither be seen nor changed."""

from collections import defaultdict
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from tests.proof.promises.scene import Account, Fields, Scene, new_mark
from tests.support.operations import OPERATIONS, Operation

OF_ONE = ("task_id", "list_id")
REFUSED = {400, 404, 409, 412, 422}


class Theirs(NamedTuple):
    """What the other user has, as it was."""

    account: Account
    task: Fields
    deleted: Fields
    list: Fields
    mark: str

    @classmethod
    def of(cls, account: Account) -> "Theirs":
        """A task, one in the trash, and a list."""
        mark = new_mark()
        listed = account.creates_list(f"Their list {mark}").document
        task = account.creates(f"Theirs {mark}", tags=[mark]).document
        gone = account.creates(f"Their old one {mark}")
        assert account.delete(gone.url).status_code == 204
        [deleted] = account.lists_all(account.trash, limit=1)[:1]
        return cls(account, task, deleted, listed, mark)

    def are_as_they_were(self) -> None:
        """Raise if one of them has changed."""
        account = self.account
        assert account.reads(f"{account.tasks}/{self.task['id']}") == self.task
        assert account.reads(f"{account.lists}/{self.list['id']}") == self.list
        assert self.deleted in account.lists_all(account.trash, limit=100)


def every_operation_refuses_the_path_of_another_user(scene: Scene) -> str:
    """With a token that is valid, and the ids of what the other user has."""
    scene.requires_tokens()
    theirs = Theirs.of(scene.other)
    asked = [_refused(scene.user, each, theirs, 403) for each in _of_a_user()]
    theirs.are_as_they_were()
    return f"{len(asked)} operations with the path of another user: each responds with 403"


def every_operation_refuses_a_request_without_a_token(scene: Scene) -> str:
    """And one with a token that is none."""
    scene.requires_tokens()
    theirs = Theirs.of(scene.other)
    with Account(scene.urls) as stranger:
        for headers in ({}, {"Authorization": "Bearer x.y.z"}):
            stranger.headers.update(headers)
            asked = [_refused(stranger, each, theirs, 401) for each in _of_a_user()]
    theirs.are_as_they_were()
    return f"{len(asked)} operations, without a token and with a wrong one: each responds with 401"


def _of_a_user() -> list[Operation]:
    return [each for each in OPERATIONS.values() if "{user_id}" in each.path]


def _refused(caller: Account, operation: Operation, theirs: Theirs, status: int) -> httpx.Response:
    owner = theirs.account.id if _is_harmless(operation) else str(uuid4())
    response = _asked(caller, operation, owner, theirs.task["id"], theirs.list["id"])
    described = f"{operation.id} of another user: {response.status_code} {response.text}"
    assert response.status_code == status, described
    assert theirs.mark not in response.text, described
    return response


def _is_harmless(operation: Operation) -> bool:
    """Whether it could at most change what the proof has made, if it were done.

    If not, the request names a `user_id` that no user has: another account may be a real one.
    """
    return operation.method == "GET" or any(f"{{{name}}}" in operation.path for name in OF_ONE)


def _asked(
    caller: Account, operation: Operation, user_id: str, task_id: str, list_id: str
) -> httpx.Response:
    ids = defaultdict(lambda: str(uuid4()), user_id=user_id, task_id=task_id, list_id=list_id)
    path = operation.path.format_map(ids)
    body: dict[str, Any] = {"json": operation.example()} if operation.body else {}
    return caller.request(operation.method, path + operation.required_query, **body)


def ids_of_another_user_are_not_found(scene: Scene) -> str:
    """In the caller's own path, by every operation that takes the id of a task or of a list."""
    caller, theirs = scene.user, Theirs.of(scene.other)
    asked = 0
    for operation in _of_a_user():
        if not any(f"{{{name}}}" in operation.path for name in OF_ONE):
            continue
        for task_id in (theirs.task["id"], theirs.deleted["id"]):
            response = _asked(caller, operation, caller.id, task_id, theirs.list["id"])
            described = f"{operation.id} of another user's id: {response.text}"
            assert response.status_code == 404, described
            assert theirs.mark not in response.text, described
            asked += 1
    theirs.are_as_they_were()
    return f"{asked} requests with the ids of another user's tasks and lists: each responds 404"


def references_to_another_user_are_refused(scene: Scene) -> str:
    """Bodies that name another user's list, parent, neighbour or task; and filters by them."""
    caller, theirs = scene.user, Theirs.of(scene.other)
    task_id, list_id = theirs.task["id"], theirs.list["id"]
    own = caller.creates("Mine")
    bodies: list[tuple[str, str, Fields]] = [
        ("POST", caller.tasks, {"title": "x", "list_id": list_id}),
        ("POST", caller.tasks, {"title": "x", "parent_id": task_id}),
        ("PUT", own.url, {"list_id": list_id}),
        ("PUT", own.url, {"parent_id": task_id}),
        ("POST", f"{own.url}/move", {"before": task_id}),
        ("POST", f"{own.url}/move", {"after": task_id}),
        ("POST", f"{own.url}/move", {"list_id": list_id}),
        *(
            ("POST", f"{caller.tasks}/batch", {"operations": [{"op": op, "id": task_id, **also}]})
            for op in ("update", "toggle", "delete", "restore", "skip")
            for also in [{"title": "x"} if op == "update" else {}]
        ),
    ]
    for method, path, body in bodies:
        response = caller.request(method, path, json=body)
        described = f"{method} {body}: {response.status_code} {response.text}"
        assert response.status_code in REFUSED, described
        assert theirs.mark not in response.text, described
    filters = [{"tag": theirs.mark}, {"q": theirs.mark}, {"parent_id": task_id}]
    for filtered in (*filters, {"list_id": list_id}, {"series_id": task_id}):
        for path in (caller.tasks, caller.trash):
            found = caller.lists_all(path, **filtered)
            assert found == [], f"a list by {filtered} has {len(found)} tasks of another user"
    theirs.are_as_they_were()
    return f"{len(bodies)} bodies are refused, and 5 filters find nothing"


def an_id_of_another_user_is_free(scene: Scene) -> str:
    """Ids are each user's own: whether another user has one cannot be seen."""
    caller, theirs = scene.user, Theirs.of(scene.other)
    body = {"id": theirs.task["id"], "title": "Mine"}
    response = caller.post(caller.tasks, json=body, headers={"If-None-Match": "*"})
    assert response.status_code == 201, f"the id of another user's task: {response.text}"
    assert caller.reads(f"{caller.tasks}/{body['id']}")["user_id"] == caller.id
    changed = caller.put(f"{caller.tasks}/{body['id']}", json={"title": "Still mine"})
    assert changed.status_code == 200
    theirs.are_as_they_were()
    return "2 users have a task with the same id, and each has their own"


def cursors_and_tokens_of_another_user_are_refused(scene: Scene) -> str:
    """Those of lists, of the trash and of the feed."""
    caller, other = scene.user, scene.other
    for number in range(3):
        task = other.creates(f"{number}")
        other.creates(f"{number}")
        other.delete(task.url)
    cursors = []
    for name in ("tasks", "trash"):
        page = other.get(f"/api/{other.id}/{name}", params={"limit": 1})
        cursors.append((name, "cursor", httpx.URL(page.links["next"]["url"]).params["cursor"]))
    token = other.reads(f"/api/{other.id}/changes?limit=1")["next"]
    cursors += [("changes", "since", token), ("changes/stream", "since", token)]
    for name, parameter, value in cursors:
        path = f"/api/{caller.id}/{name}?limit=1&{parameter}={value}"
        response = caller.get(path)
        assert response.status_code == 422, f"another user's {parameter} of {name} is accepted"
        own = other.get(path.replace(caller.id, other.id))
        assert own.status_code == 200, f"the user's own {parameter} is refused: {own.text}"
    return f"{len(cursors)} cursors and tokens are refused with 422; those who have them use them"
