"""Promises about batches: all or nothing, or each on its own."""

from collections import Counter
from functools import partial
from uuid import uuid4

import httpx

from tests.proof.promises.scene import Account, Fields, Scene, at_once, new_mark


def _batch(user: Account, *operations: Fields, atomic: bool = True) -> httpx.Response:
    body = {"operations": list(operations), "atomic": atomic}
    response = user.post(f"{user.tasks}/batch", json=body)
    if response.status_code == 200:
        results = response.json()["results"]
        created = [each["task"]["id"] for each in results if each["status"] == 201]
        user.made |= {f"{user.tasks}/{each}" for each in created}
    return response


def a_batch_is_done_whole_or_not_at_all(scene: Scene) -> str:
    """One refused operation, wherever it stands, undoes those before it."""
    user, mark = scene.user, new_mark()
    task = user.creates("Before", tags=[mark])
    task_id = task.document["id"]
    good: list[Fields] = [
        {"op": "create", "title": "New", "tags": [mark]},
        {"op": "update", "id": task_id, "title": "After"},
        {"op": "toggle", "id": task_id},
    ]
    bad: Fields = {"op": "toggle", "id": str(uuid4())}
    for place in range(len(good) + 1):
        response = _batch(user, *good[:place], bad, *good[place:])
        assert response.status_code == 404, response.text
        [fault] = response.json()["errors"]
        assert fault["pointer"] == f"/operations/{place}", fault
        found = user.lists_all(user.tasks, tag=mark)
        assert found == [task.document], "a refused batch has changed something"
    response = _batch(user, *good)
    assert response.status_code == 200, response.text
    found = user.lists_all(user.tasks, tag=mark, sort="created_at")
    results = [each["task"] for each in response.json()["results"]]
    assert found == [results[2], results[0]], "a batch is not stored as it was shown"
    revisions = [each["revision"] for each in results]
    assert revisions == sorted({*revisions}), "its operations do not have revisions of their own"
    return f"{len(good) + 1} batches with 1 refused operation changed nothing; the whole one did"


def operations_on_their_own_are_done_one_by_one(scene: Scene) -> str:
    """Those that are refused leave the others be."""
    user, task = scene.user, scene.user.creates("One")
    task_id = task.document["id"]
    response = _batch(
        user,
        {"op": "toggle", "id": task_id},
        {"op": "toggle", "id": str(uuid4())},
        {"op": "update", "id": task_id, "title": "x", "if_match": task.document["revision"]},
        {"op": "create", "title": "Two"},
        atomic=False,
    )
    results = response.json()["results"]
    assert [each["status"] for each in results] == [200, 404, 412, 201], response.text
    assert user.reads(task.url) == results[0]["task"]
    assert user.reads(f"{user.tasks}/{results[3]['task']['id']}") == results[3]["task"]
    return "of 4 operations 2 are done, and 2 are refused with 404 and 412"


def of_concurrent_batches_of_one_version_one_is_done(scene: Scene) -> str:
    """Each changes two tasks: both show the same winner."""
    user, number = scene.user, scene.scale.at_once
    for _ in range(scene.scale.rounds):
        tasks = [user.creates("Whose?"), user.creates("Whose?")]

        def change(name: str, tasks: tuple[Fields, ...]) -> httpx.Response:
            return _batch(user, *({"op": "update", "title": name, **each} for each in tasks))

        named = tuple(
            {"id": each.document["id"], "if_match": each.document["revision"]} for each in tasks
        )
        responses = at_once([partial(change, str(name), named) for name in range(number)])
        statuses = Counter(response.status_code for response in responses)
        assert statuses == {200: 1, 412: number - 1}, f"{number} batches: {dict(statuses)}"
        [won] = [each.json()["results"] for each in responses if each.status_code == 200]
        stored = [user.reads(each.url) for each in tasks]
        assert stored == [each["task"] for each in won], "two batches are mixed"
    return f"{number} concurrent batches of one version: 1 done, {number - 1} refused"


def concurrent_batches_lose_nothing(scene: Scene) -> str:
    """Each toggles the same tasks and others: every toggle counts, and each revision is new."""
    user, number = scene.user, scene.scale.at_once
    shared = user.creates("Shared").document["id"]
    responses = at_once(
        [
            partial(_batch, user, {"op": "toggle", "id": shared}, {"op": "create", "title": "x"})
            for _ in range(number)
        ]
    )
    assert {each.status_code for each in responses} == {200}, [each.text for each in responses][:1]
    tasks = [each["task"] for response in responses for each in response.json()["results"]]
    revisions = [task["revision"] for task in tasks]
    assert len({*revisions}) == len(revisions), "two operations have the same revision"
    toggled = sorted((task["revision"], task["completed"]) for task in tasks[::2])
    expected = [place % 2 == 0 for place in range(number)]
    assert [completed for _, completed in toggled] == expected, "a toggle is lost"
    return f"{number} concurrent batches have {number} effects, and {len(revisions)} revisions"
