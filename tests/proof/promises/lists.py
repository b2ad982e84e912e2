"""Promises about lists of tasks: filters, orders, pages, the trash, places."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from threading import Event
from typing import Any
from uuid import UUID, uuid4

from tests.proof.promises.scene import Account, Fields, Scene, new_mark
from tests.support.fields import (
    REFERENCED,
    SORTS,
    WRITABLE,
    agreeing,
    all_filters,
    matches,
    sorted_tasks,
    values_of,
    with_due,
)

DEFAULT = "-created_at"
AT_A_TIME = 6
PAGES = (7, 30, 100)


def filters_and_orders_are_those_of_a_slow_reference(scene: Scene) -> str:
    """Lists by every filter of the contract and in every order, page by page."""
    user, chance = scene.user, random.Random()
    mark, names = new_mark(), {each: str(UUID(int=chance.getrandbits(128))) for each in REFERENCED}
    stored = _population(user, mark, names, scene.scale.tasks, chance)
    # An account may have other tasks: a tag leaves those of this promise.
    scope = {"tag": [mark]} if scene.has_tokens else {}
    everything = stored if scene.has_tokens else user.lists_all(user.tasks, limit=100)
    wanted = [_renamed(each, names) for each in all_filters()]
    chosen = chance.sample(wanted, min(len(wanted), scene.scale.lists))
    orders = cycle([DEFAULT, *SORTS])
    sizes = cycle(PAGES)
    lists = [({**each, **_scoped(each, scope)}, next(orders), next(sizes)) for each in chosen]

    def compare(filters: Fields, sort: str, limit: int) -> int:
        expected = sorted_tasks([each for each in everything if matches(each, filters)], sort)
        found = user.lists_all(user.tasks, limit=limit, sort=sort, **filters)
        assert found == expected, (
            f"a list by {filters}, sorted by {sort}, has {len(found)} tasks, not these "
            f"{len(expected)}"
        )
        return len(found)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        lengths = list(pool.map(compare, *zip(*lists, strict=True)))
    return f"{len(lists)} lists of {len(everything)} tasks, {sum(lengths):,} tasks on their pages"


def _scoped(filters: Fields, scope: Fields) -> Fields:
    return {"tag": [*filters.get("tag", []), *scope["tag"]][-20:]} if scope else {}


def _population(
    user: Account, mark: str, names: dict[str, str], number: int, chance: random.Random
) -> list[Fields]:
    """Tasks with random values of every field, and what they refer to."""
    for each in names.values():
        user.creates_list(id=each)
        user.creates("parent", id=each, tags=[mark])
    for _ in range(number):
        fields = {name: chance.choice(values_of(schema)) for name, schema in WRITABLE.items()}
        fields = with_due(agreeing(fields, *chance.sample([*WRITABLE], 3)))
        if fields.get("recurrence"):
            fields["completed"] = False
        tags = [*fields["tags"], mark]
        user.creates(**_renamed({**fields, "title": fields["title"] or "x", "tags": tags}, names))
    for task in user.lists_all(user.tasks, tag=mark, limit=100)[::5]:
        user.put(f"{user.tasks}/{task['id']}", json={"title": f"{task['title']}"})
    return user.lists_all(user.tasks, tag=mark, limit=100)


def _renamed(fields: Fields, names: dict[str, str]) -> Fields:
    """The same with other ids: those of the tests may be taken."""
    text = json.dumps(fields)
    for old, new in names.items():
        text = text.replace(old, new)
    renamed: Fields = json.loads(text)
    return renamed


def pages_show_each_task_once_while_others_write(scene: Scene) -> str:
    """There and back, by cursors: of the tasks that stay, none is missing and none comes twice."""
    user, mark, scale = scene.user, new_mark(), scene.scale
    fields = [{"title": f"{number:04}", "tags": [mark]} for number in range(scale.tasks)]
    staying = {task["id"] for task in user.creates_many(fields)}
    ended, walks = Event(), 0
    with ThreadPoolExecutor(scale.writers) as pool:
        writing = [pool.submit(_writes, user, mark, ended) for _ in range(scale.writers)]
        try:
            for sort in [DEFAULT, "title", "-title", "position"] * max(1, scale.rounds // 2):
                _walks(user, staying, tag=mark, sort=sort, limit=4)
                walks += 1
            if not scene.has_tokens:
                _walks(user, staying, limit=7)
        finally:
            ended.set()
        written = sum(each.result() for each in writing)
    return f"{walks} walks through {len(staying)} tasks, there and back, among {written:,} writes"


def _writes(user: Account, mark: str, ended: Event) -> int:
    """Create and delete other tasks of the list."""
    written = 0
    while not ended.is_set():
        task = user.creates(f"{random.randrange(10_000):04}", tags=[mark])
        user.patch(f"{task.url}/complete")
        user.delete(task.url)
        written += 3
    return written


def _walks(user: Account, staying: set[str], **params: Any) -> None:
    response = user.get(user.tasks, params=params)
    for relation in ("next", "prev"):
        seen = Counter(task["id"] for task in response.json())
        size = len(response.json())
        while relation in response.links:
            response = user.get(response.links[relation]["url"])
            assert response.status_code == 200, response.text
            size = max(size, len(response.json()))
            seen.update(task["id"] for task in response.json())
        described = f"{relation} pages of {params}"
        missing = staying - seen.keys()
        assert not missing, f"{len(missing)} of {len(staying)} tasks are on none of the {described}"
        twice = [each for each, times in seen.items() if times > 1]
        assert not twice, f"{len(twice)} tasks are twice on the {described}"
        assert size <= params["limit"], f"one of the {described} has {size} tasks"


def a_deleted_task_is_in_the_trash_until_it_is_restored(scene: Scene) -> str:
    """With all that is below it; and it comes back as it was."""
    user = scene.user
    task = user.creates("Parent", description="x", tags=["a", "B"], priority="low")
    below = user.creates("Child", parent_id=task.document["id"])
    assert user.delete(task.url).status_code == 204
    for each in (task, below):
        assert user.get(each.url).status_code == 404, "a deleted task can be read"
    page = user.lists_all(user.trash, limit=100)
    trash = {each["id"]: each for each in page}
    for each in (task, below):
        entry = trash[each.document["id"]]
        assert entry["deleted_at"] and entry["revision"] > each.document["revision"]
    assert not {*trash} & {each["id"] for each in user.lists_all(user.tasks, limit=100)}
    assert user.post(f"{task.url}/restore").status_code == 200
    for each in (task, below):
        now = user.reads(each.url)
        kept = {name: now[name] for name in (*WRITABLE, "created_at", "completed_at")}
        assert kept == {name: each.document[name] for name in kept}, "it is not as it was"
        assert now["revision"] > trash[now["id"]]["revision"]
    trashed = {each["id"] for each in user.lists_all(user.trash, limit=100)}
    assert not trashed & {task.document["id"], below.document["id"]}
    return "a task and the one below it are deleted and restored, with every field"


def a_deleted_list_takes_its_tasks_along(scene: Scene) -> str:
    """And brings them back; what was deleted before stays in the trash."""
    user, listed = scene.user, scene.user.creates_list("Whole")
    place = listed.document["id"]
    tasks = [user.creates(f"{number}", list_id=place) for number in range(4)]
    user.delete(tasks[0].url)
    assert user.delete(listed.url).status_code == 204
    assert [user.get(each.url).status_code for each in (listed, *tasks)] == [404] * 5
    assert user.post(f"{listed.url}/restore").status_code == 200
    found = [user.get(each.url).status_code for each in (listed, *tasks)]
    assert found == [200, 404, 200, 200, 200], f"after the restoration: {found}"
    assert len(user.lists_all(user.tasks, list_id=place)) == 3
    return "a list with 4 tasks: 3 are deleted and restored with it, 1 stays in the trash"


def a_moved_task_is_where_it_was_put(scene: Scene) -> str:
    """Before or after another one, by chance, and in the order of positions."""
    user, chance, listed = scene.user, random.Random(), scene.user.creates_list("Ordered")
    place = listed.document["id"]
    fields = [{"title": f"{number}", "list_id": place} for number in range(8)]
    order = [task["id"] for task in user.creates_many(fields)]
    moves = 5 * scene.scale.rounds
    for _ in range(moves):
        moved, beside = chance.sample(order, 2)
        side = chance.choice(["before", "after"])
        response = user.post(f"{user.tasks}/{moved}/move", json={side: beside})
        assert response.status_code == 200, response.text
        order.remove(moved)
        order.insert(order.index(beside) + (side == "after"), moved)
        found = user.lists_all(user.tasks, list_id=place, sort="position", limit=3)
        assert [task["id"] for task in found] == order, f"a task is not {side} the other one"
    return f"{moves} moves among {len(order)} tasks"


def a_summary_counts_what_is_there(scene: Scene) -> str:
    """Open and completed tasks, by list."""
    user, listed = scene.user, scene.user.creates_list(f"Counted {uuid4()}")
    place = listed.document["id"]
    user.creates_many([{"title": "x", "list_id": place, "completed": n < 3} for n in range(7)])
    by_list = user.reads(f"/api/{user.id}/summary")["by_list"]
    [found] = [each for each in by_list if each["list_id"] == place]
    assert (found["open"], found["done"]) == (4, 3), f"of 4 open and 3 completed tasks: {found}"
    return "4 open and 3 completed tasks of a list"
