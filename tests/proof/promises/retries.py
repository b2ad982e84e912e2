"""Promises about writes that are sent again with their Idempotency-Key."""

import time
from functools import partial
from uuid import uuid4

import httpx

from tests.proof.promises.scene import Account, Fields, Scene, at_once, new_mark

IN_USE = "idempotency-key-in-use"
REPLAYED = "idempotency-replayed"
AGAIN = 0.1
"""Seconds until a copy is sent again, while the first one is in progress."""


def a_write_that_is_sent_many_times_at_once_has_one_effect(scene: Scene) -> str:
    """Each copy has the response of the first one, at once or after its end."""
    user, number = scene.user, scene.scale.at_once
    for _ in range(scene.scale.rounds):
        mark, key = new_mark(), str(uuid4())
        body = {"title": "Once", "tags": [mark]}
        responses = at_once([partial(_created, user, body, key)] * number)
        shown = {response.text for response in responses}
        assert len(shown) == 1, f"{number} copies have {len(shown)} responses"
        stored = user.lists_all(user.tasks, tag=mark)
        assert stored == [responses[0].json()], f"{number} copies have stored {len(stored)} tasks"
        replayed = sum(REPLAYED in response.headers for response in responses)
        assert replayed == number - 1, f"{replayed} of {number} copies are called replays"
    return f"{number} concurrent copies of one write: 1 task, {number} equal responses"


def _created(user: Account, body: Fields, key: str) -> httpx.Response:
    while True:
        response = user.post(user.tasks, json=body, headers={"Idempotency-Key": key})
        if response.status_code == 201:
            return response
        assert response.status_code == 409 and IN_USE in response.text, response.text
        time.sleep(AGAIN)


def a_repeated_write_is_not_done_again(scene: Scene) -> str:
    """Each kind of write, sent three times, has one effect and one response."""
    user = scene.user
    task, listed = user.creates("Repeated"), user.creates_list("Repeated")
    writes: list[tuple[str, str, Fields]] = [
        ("PATCH", f"{task.url}/complete", {}),
        ("POST", f"{task.url}/move", {"json": {}}),
        ("PUT", task.url, {"json": {"title": "Put"}}),
        ("POST", f"{user.tasks}/batch", {"json": {"operations": [_toggle(task.document["id"])]}}),
        ("DELETE", task.url, {}),
        ("POST", f"{task.url}/restore", {}),
        ("PATCH", listed.url, {"json": {"title": "Patched"}}),
        ("DELETE", listed.url, {}),
        ("POST", f"{listed.url}/restore", {}),
    ]
    for method, path, options in writes:
        headers = {"Idempotency-Key": str(uuid4())}
        first = user.request(method, path, headers=headers, **options)
        assert first.is_success, f"{method} {path}: {first.text}"
        after = _everything_about(user, task.url, listed.url)
        for _ in range(2):
            again = user.request(method, path, headers=headers, **options)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers.get("etag") == first.headers.get("etag")
            assert REPLAYED in again.headers, f"{method} {path} was done again"
            assert _everything_about(user, task.url, listed.url) == after, f"{method} {path}"
    return f"{len(writes)} kinds of writes, each sent 3 times and done once"


def _toggle(task_id: str) -> Fields:
    return {"op": "toggle", "id": task_id}


def _everything_about(user: Account, *paths: str) -> list[str]:
    return [user.get(path).text.partition('"request_id"')[0] for path in paths]


def a_key_with_another_request_is_refused(scene: Scene) -> str:
    """Another body, another task, another operation, another condition."""
    user, key = scene.user, str(uuid4())
    task, other = user.creates("One"), user.creates("Other")
    headers = {"Idempotency-Key": key}
    first = user.put(task.url, json={"title": "First"}, headers=headers)
    assert first.status_code == 200, first.text
    others = [
        user.put(task.url, json={"title": "Second"}, headers=headers),
        user.put(other.url, json={"title": "First"}, headers=headers),
        user.post(user.tasks, json={"title": "First"}, headers=headers),
        user.delete(task.url, headers=headers),
        user.put(task.url, json={"title": "First"}, headers={**headers, "If-Match": task.etag}),
    ]
    for response in others:
        described = f"{response.request.method} {response.request.url.path}: {response.text}"
        assert response.status_code == 422, described
        assert response.json()["type"].endswith("#idempotency-key-reused"), described
    assert user.reads(task.url) == first.json()
    assert user.reads(other.url) == other.document
    return f"{len(others)} other requests with a used key are refused, and change nothing"


def a_refusal_is_repeated_with_its_key(scene: Scene) -> str:
    """Though it would be done now: the client has been given an answer."""
    user, task = scene.user, scene.user.creates("Refused")
    now = user.put(task.url, json={"title": "Newer"}).json()
    headers = {"Idempotency-Key": str(uuid4()), "If-Match": task.etag}
    refused = [user.put(task.url, json={"title": "Old"}, headers=headers) for _ in range(2)]
    assert [each.status_code for each in refused] == [412, 412], refused[-1].text
    assert refused[0].content == refused[1].content
    deleting = {"Idempotency-Key": str(uuid4())}
    missing = f"{user.tasks}/{uuid4()}"
    absent = [user.delete(missing, headers=deleting) for _ in range(2)]
    assert [each.status_code for each in absent] == [404, 404]
    assert absent[0].content == absent[1].content
    assert user.reads(task.url) == now
    return "a 412 and a 404, each sent twice, have the same response"


def keys_of_two_users_are_two_keys(scene: Scene) -> str:
    """Each user's write is done, and neither gets the other's response."""
    headers = {"Idempotency-Key": str(uuid4())}
    responses = [
        each.post(each.tasks, json={"title": "Mine"}, headers=headers)
        for each in (scene.user, scene.other)
    ]
    for account, response in zip((scene.user, scene.other), responses, strict=True):
        assert response.status_code == 201, response.text
        assert REPLAYED not in response.headers
        assert response.json()["user_id"] == account.id, "another user's response"
    assert responses[0].json()["id"] != responses[1].json()["id"]
    return "1 key of 2 users: 2 tasks"
