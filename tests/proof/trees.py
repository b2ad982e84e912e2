"""Devices that move, delete and restore tasks and lists at once, through servers that die."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, NamedTuple
from uuid import uuid4

from tests.proof.clients import Client
from tests.proof.devices import Device, Fields
from tests.support.worlds import World

DEVICES = 4
LISTS = 3
FIRST_TASKS = 6
DEEPEST = 10
PAGE = 3
DONE = {200, 201, 204}
TOO_LATE = {404, 409, 422}
"""Another device was faster: a task or a list is in the trash, or the parent is elsewhere."""


class Confirmed(NamedTuple):
    """What the devices know to be done."""

    versions: dict[str, Fields]
    """The latest version of each task or list that a response has shown."""
    kinds: Counter[str]
    """How many writes of each kind were done."""


class Mover:
    """A device that changes the places of tasks."""

    def __init__(self, device: Device) -> None:
        self.confirmed = Confirmed({}, Counter())
        self._device = device
        self._chance = device.chance

    def creates(self, list_id: str | None = None) -> None:
        """Create a task."""
        self._sends("create", "POST", "/tasks", {"title": "x", "list_id": list_id})

    def creates_list(self) -> None:
        """Create a list."""
        self._sends("create_list", "POST", "/lists", {"title": "x"})

    def lives(self, times: int) -> None:
        """Do so many writes."""
        writes = [
            *(self._moves, self._moves, self._moves_below, self._moves_below, self._toggles),
            *(self._creates_below, self._deletes, self._restores),
            *(self._deletes_list, self._restores_list, self._clears),
        ]
        for _ in range(times):
            self._device.waits()
            self._chance.choice(writes)()

    def _creates_below(self) -> None:
        if task := self._any("tasks"):
            fields = {"title": "x", "list_id": task["list_id"], "parent_id": task["id"]}
            self._sends("create_below", "POST", "/tasks", fields)

    def _moves(self) -> None:
        task, neighbour = self._any("tasks"), self._any("tasks")
        if task and neighbour:
            place = {"list_id": neighbour["list_id"], "parent_id": neighbour["parent_id"]}
            side = self._chance.choice(["before", "after"])
            target = {**place, side: neighbour["id"]}
            self._sends("move", "POST", f"/tasks/{task['id']}/move", target)

    def _moves_below(self) -> None:
        task, parent = self._any("tasks"), self._any("tasks")
        if task and parent:
            target = {"list_id": parent["list_id"], "parent_id": parent["id"]}
            self._sends("move_below", "POST", f"/tasks/{task['id']}/move", target)

    def _toggles(self) -> None:
        if task := self._any("tasks"):
            self._sends("toggle", "PATCH", f"/tasks/{task['id']}/complete")

    def _deletes(self) -> None:
        if task := self._any("tasks"):
            self._sends("delete", "DELETE", f"/tasks/{task['id']}")

    def _restores(self) -> None:
        if task := self._any("trash"):
            self._sends("restore", "POST", f"/tasks/{task['id']}/restore")

    def _deletes_list(self) -> None:
        if found := self._any("lists"):
            self._sends("delete_list", "DELETE", f"/lists/{found['id']}")

    def _restores_list(self) -> None:
        lists = [each for each in self.confirmed.versions.values() if "list_id" not in each]
        if lists:
            list_id = self._chance.choice(lists)["id"]
            self._sends("restore_list", "POST", f"/lists/{list_id}/restore")

    def _clears(self) -> None:
        self._sends("clear", "DELETE", "/tasks?completed=true")

    def _any(self, what: str) -> Fields | None:
        found = self._device.lists(what)
        return self._chance.choice(found) if found else None

    def _sends(self, kind: str, method: str, path: str, body: Fields | None = None) -> None:
        response = self._device.sends(method, path, body=body)
        assert response.status_code in DONE | TOO_LATE, f"{kind}: {response.text}"
        if response.status_code not in DONE:
            return
        self.confirmed.kinds[kind] += 1
        shown: Any = response.json() if response.content else {}
        if "revision" in shown:
            self.confirmed.versions[shown["id"]] = shown


def live(world: World, urls: Callable[[], Sequence[str]], times: int, seed: int) -> Counter[str]:
    """Let devices move tasks, among disasters; returns how often they did what.

    Meanwhile a client reads the feed, a few changes a page, and checks its digest.
    """
    user_id = str(uuid4())
    chance = random.Random(seed)
    devices = [Device(urls, user_id, f"{seed} {number}") for number in range(DEVICES)]
    movers = [Mover(each) for each in devices]
    for _ in range(LISTS):
        movers[0].creates_list()
    for list_id in [None, *movers[0].confirmed.versions] * FIRST_TASKS:
        movers[0].creates(list_id)
    onlooker, ended = Client(world.url, user_id), Event()
    with ThreadPoolExecutor(DEVICES + 1) as pool:
        reading = pool.submit(_reads, onlooker, ended)
        lives = [pool.submit(each.lives, times) for each in movers]
        while world.disasters_left and not all(each.done() for each in lives):
            world.strikes(chance.random() < 0.5, chance.uniform(0, 0.3))
            world.recovers()
        try:
            for each in lives:
                each.result()
        finally:
            ended.set()
        reading.result()
    _check(onlooker, devices[0], [each.confirmed for each in movers])
    onlooker.closes()
    for device in devices:
        device.closes()
    return sum((each.confirmed.kinds for each in movers), Counter())


def _reads(onlooker: Client, ended: Event) -> None:
    """Read the feed until its end, after the devices' end."""
    while not ended.is_set() or onlooker.pulls(PAGE) is not False:
        onlooker.pulls(PAGE)


def _check(onlooker: Client, device: Device, confirmed: list[Confirmed]) -> None:
    """Each task is where it can be, and nothing that was confirmed is lost."""
    tasks = {task["id"]: task for task in device.lists()}
    trash = {task["id"]: task for task in device.lists("trash")}
    lists = {each["id"]: each for each in device.lists("lists")}
    assert (onlooker.copy, onlooker.lists) == (tasks, lists)
    assert not tasks.keys() & trash.keys()
    created = sum(each.kinds["create"] + each.kinds["create_below"] for each in confirmed)
    assert len(tasks) + len(trash) == created, "a task is lost, or there twice"
    revisions = [each["revision"] for each in (*tasks.values(), *trash.values(), *lists.values())]
    assert len(revisions) == len({*revisions}), "two writes have the same revision"
    for task in tasks.values():
        _check_place(task, tasks, lists)
    for version in (each for known in confirmed for each in known.versions.values()):
        stored = {**trash, **tasks, **lists}.get(version["id"])
        if stored is None:
            assert "list_id" not in version, f"{version} is lost"
        else:
            assert stored["revision"] >= version["revision"], f"{version} is lost"
            assert stored["revision"] > version["revision"] or stored == version


def _check_place(task: Fields, tasks: dict[str, Fields], lists: dict[str, Fields]) -> None:
    assert task["list_id"] is None or task["list_id"] in lists, f"{task} is in no list"
    depth, above = 1, task
    while above["parent_id"] is not None:
        parent = tasks.get(above["parent_id"])
        assert parent is not None, f"{above} has a parent in the trash"
        assert parent["list_id"] == task["list_id"], f"{above} is not in the list of {parent}"
        depth, above = depth + 1, parent
        assert depth <= DEEPEST, f"{task} is too deep"
