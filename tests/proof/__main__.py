"""The long proof that clients lose no write, in a flaky network or among disasters.

Then devices complete the tasks of one series at once, and each has one successor. At last they
move, delete and restore tasks and lists at once, and each is where it can be.

    python -m tests.proof [--steps 5000] [--seed N] [--disasters 20]

It brings a PostgreSQL and a server of its own, and exits non-zero on a violation.

Or show the promises of the API at any deployment, as two of its users:

    python -m tests.proof --url https://… --token … --other-token …

Without tokens it makes two user ids up. It removes what it made, and touches nothing else: what
accounts with a token made is then in their trash, until that is purged. It exits non-zero if a
promise is broken.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.proof import series, trees
from tests.proof.promises.report import prove
from tests.proof.run import STEPS_OF_A_LIFE, run
from tests.support.servers import serving
from tests.support.worlds import MortalWorld, lasting_world, mortal_world


def main() -> int:
    """Run the wanted number of steps; a violation is raised with the steps that led to it."""
    options = _options()
    if options.url:
        return min(1, prove(options.url, options.token, options.other_token))
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    world = mortal_world(options.disasters) if options.disasters else lasting_world()
    with world as it:
        steps = run(it, options.steps, options.seed)
    print(f"{steps:,} steps in {time.monotonic() - began:.0f} s, and no violation", flush=True)
    times = max(1, options.steps // STEPS_OF_A_LIFE)
    with _two_servers(options.disasters) as (it, urls):
        completed = series.live(it, urls, times, options.seed)
    print(f"tasks were completed {completed:,} times, and each has one successor", flush=True)
    with _two_servers(options.disasters) as (it, urls):
        done = trees.live(it, urls, times, options.seed)
    print(f"{done.total():,} writes moved tasks and lists, and each is where it can be")
    return 0


@contextmanager
def _two_servers(disasters: int) -> Iterator[tuple[MortalWorld, Callable[[], Sequence[str]]]]:
    """A server that is killed so often, and one beside it that lasts."""
    with (
        mortal_world(disasters, alone=False) as world,
        serving(DATABASE_URL=world.database_url) as lasting,
    ):
        yield world, lambda: [world.url, lasting]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--steps", type=int, default=5000, help="at least [5000]")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="a new one, else")
    parser.add_argument(
        "--disasters", type=int, default=0, help="how often a server or its database is killed [0]"
    )
    of_any = parser.add_argument_group("the promises, at any deployment")
    of_any.add_argument("--url", action="append", help="its address; or several, used in turn")
    of_any.add_argument("--token", help="of a user; without one, the deployment is in open mode")
    of_any.add_argument("--other-token", help="of another user")
    options = parser.parse_args()
    if bool(options.token) is not bool(options.other_token):
        parser.error("send two tokens, of two users, or none")
    return options


if __name__ == "__main__":
    sys.exit(main())
