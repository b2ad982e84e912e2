"""So many steps of the clients, in lives of their own."""

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.machine import Clients
from tests.proof.worlds import World

STEPS_OF_A_LIFE = 50


def run(world: World, steps: int, seed: int) -> int:
    """Have at least so many steps; returns how many there were, if nothing was violated."""
    life = type("Life", (Clients,), {"world": world})
    began = Clients.steps
    # The first life that Hypothesis draws is its simplest one, in which little happens.
    lives = max(5, steps // STEPS_OF_A_LIFE)
    while (done := Clients.steps - began) < steps or world.disasters_left:
        hypothesis.seed(seed + done)(life)
        run_state_machine_as_test(life, settings=_lives(lives))
    return done


def _lives(count: int) -> settings:
    return settings(
        max_examples=count,
        stateful_step_count=STEPS_OF_A_LIFE,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
