"""A server that lives through random faults under a light load, and what it takes meanwhile.

    python -m tests.faults [--seconds 3600] [--seed N]

It brings a PostgreSQL, the server that is watched, and another one beside it that is killed. It
exits non-zero if a confirmed write was lost or done twice, or if memory, descriptors, threads or
connections of the watched server are higher in the last quarter of the time than in the first.
"""

import argparse
import secrets
import sys

from tests.faults.soak import soak


def main() -> int:
    """Returns 1 if something grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=float, default=3600, help="for how long [3600]")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="a new one, else")
    options = parser.parse_args()
    print(f"seed of the faults {options.seed}", flush=True)
    soaked = soak(options.seconds, options.seed)
    for name, count in sorted(soaked.strikes.items()):
        print(f"{count:5} times: {name}")
    print("the median of each quarter after the warm-up:")
    for growth in soaked.growths:
        print(growth)
    return 0 if all(each.is_flat for each in soaked.growths) else 1


if __name__ == "__main__":
    sys.exit(main())
