"""The long proof that clients lose no write, in a flaky network or among disasters.

Then devices complete the tasks of one series at once, and each has one successor.

    python -m tests.proof [--steps 5000] [--seed N] [--disasters 20]

It brings a PostgreSQL and a server of its own, and exits non-zero on a violation.
"""

import argparse
import secrets
import sys
import time

from tests.proof.run import STEPS_OF_A_LIFE, run
from tests.proof.series import live
from tests.proof.worlds import lasting_world, mortal_world
from tests.support.servers import serving


def main() -> int:
    """Run the wanted number of steps; a violation is raised with the steps that led to it."""
    options = _options()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    world = mortal_world(options.disasters) if options.disasters else lasting_world()
    with world as it:
        steps = run(it, options.steps, options.seed)
    print(f"{steps:,} steps in {time.monotonic() - began:.0f} s, and no violation", flush=True)
    with (
        mortal_world(options.disasters, alone=False) as it,
        serving(DATABASE_URL=it.database_url) as lasting,
    ):
        times = max(1, options.steps // STEPS_OF_A_LIFE)
        completed = live(it, lambda: [it.url, lasting], times, options.seed)
    print(f"tasks were completed {completed:,} times, and each has one successor")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--steps", type=int, default=5000, help="at least [5000]")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="a new one, else")
    parser.add_argument(
        "--disasters", type=int, default=0, help="how often a server or its database is killed [0]"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
