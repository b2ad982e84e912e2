"""Plant each bug in a server of its own, and let the promises find it.

    python -m tests.proof.sabotage [part of a name …]

First a server without a bug must keep every promise. It brings a PostgreSQL of its own, and exits
non-zero if a bug survives.
"""

import argparse
import sys

from tests.proof.sabotage.hunt import hunt


def main() -> int:
    """Returns how many bugs were not found, and how many promises a healthy server breaks."""
    parser = argparse.ArgumentParser(prog="python -m tests.proof.sabotage", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", help="only bugs whose name has one of these")
    return min(1, hunt(parser.parse_args().names))


if __name__ == "__main__":
    sys.exit(main())
