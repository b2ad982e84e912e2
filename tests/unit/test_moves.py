"""Where a task goes between others: positions stay short, and few tasks get another one."""

from collections.abc import Callable

import pytest

from db.tasks.moves import REACH, SHORT, Neighbour, spread
from db.tasks.positions import of_revision

OLD = [Neighbour(of_revision(number), f"old {number:06}") for number in range(1, 101)]


def moved(order: list[Neighbour], place: int, task_id: str) -> int:
    """Move a new task to the place; returns how many tasks got another position."""
    placed: dict[str, str] = {}
    for reach in (0, REACH):
        before, after = order[max(0, place - reach - 1) : place], order[place:][: reach + 1]
        placed = placed or spread(before[::-1], task_id, after, reach)
    order.insert(place, Neighbour("", task_id))
    for index in range(max(0, place - REACH), min(len(order), place + REACH + 1)):
        position = placed.get(order[index].id)
        if position is not None:
            order[index] = order[index]._replace(position=position)
    return len(placed)


def behind_the_same(_: int) -> int:
    return 50


def between_the_latest_two(number: int) -> int:
    return 50 + number // 2


@pytest.mark.parametrize("place_of", [behind_the_same, between_the_latest_two])
@pytest.mark.parametrize("moves", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_positions_stay_short_however_often_tasks_move_to_one_place(
    place_of: Callable[[int], int], moves: int
) -> None:
    order = [*OLD]

    changed = [moved(order, place_of(number), f"new {number:06}") for number in range(moves)]

    positions = [each.position for each in order]
    assert positions == sorted(set(positions))
    assert max(map(len, positions)) <= SHORT
    assert max(changed) <= 2 * REACH + 1
    assert sum(changed) < 10 * moves


def test_the_task_that_moves_is_the_last_that_changes() -> None:
    placed = spread(OLD[49::-1], "new", OLD[50:], REACH)

    assert list(placed)[-1] == "new"
    order = sorted(placed, key=lambda each: placed[each])
    assert order == [*(each.id for each in OLD[:50]), "new", *(each.id for each in OLD[50:])]


def test_a_tombstone_keeps_its_position() -> None:
    tombstone = OLD[50]._replace(is_active=False)

    placed = spread(OLD[49::-1], "new", [tombstone, *OLD[51:]], REACH)

    assert placed.keys() == {"new", *(each.id for each in OLD)} - {tombstone.id}


@pytest.mark.parametrize("reach", [0, REACH])
def test_between_too_many_tasks_of_one_position_there_is_no_room(reach: int) -> None:
    alike = [Neighbour("a0", f"{number:06}") for number in range(REACH + 1)]

    assert spread(alike, "new", alike, reach) == {}
    assert spread(alike, "new", alike[: REACH // 2], REACH)
