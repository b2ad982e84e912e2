"""Clients lose no write and converge, whatever the network, crashes and races do."""

import secrets

import pytest

from tests.proof import series, trees
from tests.proof.run import run
from tests.support.servers import serving
from tests.support.worlds import LastingWorld, mortal_world

STEPS = 100
MANY_STEPS = 400
STEPS_OF_A_DISASTER = 15
DISASTERS = 2
MANY_DISASTERS = 4
TIMES = 8
TIMES_OF_MOVES = 60


@pytest.mark.parametrize("steps", [STEPS, pytest.param(MANY_STEPS, marks=pytest.mark.long)])
def test_clients_lose_no_write_in_a_flaky_network(
    server: str, database_url: str, steps: int
) -> None:
    assert run(LastingWorld(server, database_url), steps, seed()) >= steps


@pytest.mark.parametrize(
    "disasters", [DISASTERS, pytest.param(MANY_DISASTERS, marks=pytest.mark.long)]
)
def test_clients_lose_no_write_while_servers_and_databases_are_killed(disasters: int) -> None:
    with mortal_world(disasters=disasters) as world:
        run(world, STEPS_OF_A_DISASTER * disasters, seed())

        assert world.servers_killed + world.databases_killed == disasters


@pytest.mark.long
def test_a_task_has_one_successor_though_devices_complete_it_at_once_while_servers_die() -> None:
    with mortal_world(disasters=2, alone=False) as world:
        with serving(DATABASE_URL=world.database_url) as lasting:
            completed = series.live(world, lambda: [world.url, lasting], TIMES, seed())

        assert completed > TIMES
        assert world.servers_killed + world.databases_killed > 0


@pytest.mark.long
def test_tasks_and_lists_that_devices_move_at_once_while_servers_die_are_not_lost() -> None:
    with mortal_world(disasters=4, alone=False) as world:
        with serving(DATABASE_URL=world.database_url) as lasting:
            done = trees.live(world, lambda: [world.url, lasting], TIMES_OF_MOVES, seed())

        assert done["move"] and done["move_below"] and done["delete"] and done["delete_list"]
        assert world.servers_killed + world.databases_killed > 0


def seed() -> int:
    """A new seed in each run, which is printed."""
    drawn = secrets.randbits(32)
    print(f"seed {drawn}")
    return drawn
