"""Runs of the state machine until there are enough steps."""

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.proof.machine import Clients
from tests.support.worlds import World

STEPS_OF_A_LIFE = 50


def run(world: World, steps: int, seed: int) -> int:
    """Run at least that many steps; returns their number, if nothing was violated."""
    life = type("Life", (Clients,), {"world": world})
    began = Clients.steps
    # The first run that Hypothesis draws is its simplest, in which little happens.
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
