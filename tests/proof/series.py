"""Devices that complete and reopen the tasks of one series at once, through servers that die."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from uuid import UUID, uuid4, uuid5

from tests.proof.clients import Client
from tests.proof.devices import Device, Fields
from tests.support.worlds import World

Write = tuple[str, str, Fields, Fields | None]
"""A method, a path, the headers, and the body."""

DEVICES = 4
FIRST_DAY = date(2026, 1, 31)
FIRST: Fields = {
    "title": "Water the plants",
    "due_on": str(FIRST_DAY),
    "recurrence": "FREQ=DAILY",
    "reminders": [{"before": "PT30M"}, {"at": f"{FIRST_DAY}T12:00:00.000000Z"}],
}
OUTCOMES = {200, 404, 412}
"""Done, or too late: another device has changed the task, or taken it back."""


def completes_what_is_open(device: Device, series_id: str, times: int) -> int:
    """So often, complete a task of the series, and undo some; returns how many were completed."""
    return sum(_completes_one(device, series_id) for _ in range(times))


def _completes_one(device: Device, series_id: str) -> bool:
    task = device.chance.choice(device.lists(series_id=series_id, completed=False))
    device.waits()
    done = device.sends(*device.chance.choice(WAYS)(task))
    assert done.status_code in OUTCOMES, done.text
    if done.status_code == 200 and device.chance.random() < 0.25:
        task = done.json()
        task = task["results"][0]["task"] if "results" in task else task
        undone = device.sends(*_update(task, completed=False, versioned=True))
        assert undone.status_code in OUTCOMES, undone.text
    return done.status_code == 200


def _toggle(task: Fields) -> Write:
    versioned = {"If-Match": f'"{task["revision"]}"'}
    return "PATCH", f"/tasks/{task['id']}/complete", versioned, None


def _update(task: Fields, *, completed: bool = True, versioned: bool = False) -> Write:
    headers = {"If-Match": f'"{task["revision"]}"'} if versioned else {}
    return "PUT", f"/tasks/{task['id']}", headers, {"completed": completed}


def _batch(task: Fields) -> Write:
    operation = {"op": "toggle", "id": task["id"], "if_match": task["revision"]}
    return "POST", "/tasks/batch", {}, {"operations": [operation]}


# To complete a task that is completed changes nothing else: an update needs no version.
WAYS: list[Callable[[Fields], Write]] = [_toggle, _toggle, _update, _batch]


def live(world: World, urls: Callable[[], Sequence[str]], times: int, seed: int) -> int:
    """Let devices complete tasks of a series, among disasters; returns how often they did.

    In the end each occurrence is there once, with one subtask and its reminders.
    """
    user_id = str(uuid4())
    chance = random.Random(seed)
    devices = [Device(urls, user_id, f"{seed} {number}") for number in range(DEVICES)]
    first = devices[0].creates(**FIRST)
    devices[0].creates(title="With rainwater", parent_id=first["id"], due_on=str(FIRST_DAY))
    with ThreadPoolExecutor(DEVICES) as pool:
        lives = [pool.submit(completes_what_is_open, each, first["id"], times) for each in devices]
        while world.disasters_left and not all(each.done() for each in lives):
            world.strikes(chance.random() < 0.5, chance.uniform(0, 0.3))
            world.recovers()
        completed = sum(each.result() for each in lives)
    check(devices[0], first)
    onlooker = Client(world.url, user_id)
    while onlooker.pulls(limit=1000) is not False:
        pass
    check_reminders(onlooker, world.url, user_id)
    onlooker.closes()
    for device in devices:
        device.closes()
    return completed


def check(device: Device, first: Fields) -> None:
    """Each task that was completed has one successor: there is one task for each day."""
    series = sorted(device.lists(series_id=first["id"]), key=lambda task: task["due_on"])
    for number, task in enumerate(series):
        day = FIRST_DAY + timedelta(days=number)
        assert task["id"] == _id_of(first, number), f"{task} is not the one of {day}"
        assert task["due_on"] == str(day)
        assert task["reminders"] == [FIRST["reminders"][0], {"at": f"{day}T12:00:00.000000Z"}]
        [subtask] = device.lists(parent_id=task["id"])
        assert subtask["due_on"] == str(day)
    assert not series[-1]["completed"], "a completed task has no successor"


def check_reminders(onlooker: Client, url: str, user_id: str) -> None:
    """The list of reminders has those of the tasks that are open."""
    expected = [
        (f"{task['due_on']}T{clock}:00.000000Z", task["id"])
        for task in onlooker.copy.values()
        if task["reminders"] and not task["completed"]
        for clock in ("08:30", "12:00")
    ]
    response = onlooker.asks(f"{url}/api/{user_id}/reminders?limit=1000")
    assert [(each["at"], each["task_id"]) for each in response.json()] == sorted(expected)


def _id_of(first: Fields, number: int) -> str:
    """The id of the task that follows the first one after so many others."""
    task_id = UUID(first["id"])
    for _ in range(number):
        task_id = uuid5(task_id, "successor")
    return str(task_id)
