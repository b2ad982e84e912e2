"""The long look for a request that the server does not answer as its contract says.

    python -m tests.fuzz [--cases 20000] [--seeds 3]

It brings a PostgreSQL and a server of its own. The seeds are new in every run; one of them is
had again with `--seed`, the other numbers being the same.
"""

import argparse
import json
import math
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from db.embedded import running_postgres
from db.migrate import migrate
from db.roles import as_application
from openapi.contract import CONTRACT
from tests.conftest import serving

CONFIG = CONTRACT.parent.parent / "schemathesis.toml"
# Apart, because after a long fuzzing phase the stateful one gives up early.
PHASES = ("examples,coverage,fuzzing", "stateful")
# Either run makes at least five cases of one of Schemathesis's `--max-examples`.
CASES_OF_AN_EXAMPLE = 5


class Findings(NamedTuple):
    """What came of one run of Schemathesis."""

    cases: int
    failures: int
    errors: int


def main() -> int:
    """Fuzz until there are enough cases from enough seeds; 0 if nothing was found."""
    options = _options()
    started = time.monotonic()
    runs: list[Findings] = []
    with fresh_server() as server:
        for seed in _seeds(options, runs):
            print(f"\n=== seed {seed}", flush=True)
            examples = math.ceil(options.cases / options.seeds / len(PHASES) / CASES_OF_AN_EXAMPLE)
            runs += [look(server, seed, phases, examples) for phases in PHASES]
    cases, failures, errors = (sum(column) for column in zip(*runs, strict=True))
    seconds = time.monotonic() - started
    print(f"\n{cases:,} cases, {failures} failures, {errors} errors, {seconds:.0f} seconds")
    return int(failures + errors > 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cases", type=int, default=20_000, help="at least, over all seeds")
    parser.add_argument("--seeds", type=int, default=3, help="among how many the cases are divided")
    parser.add_argument("--seed", type=int, help="this one alone, instead of new ones")
    return parser.parse_args()


def _seeds(options: argparse.Namespace, runs: list[Findings]) -> Iterator[int]:
    """As many as were asked for, and further ones while there are too few cases."""
    if options.seed is not None:
        yield options.seed
        return
    for _ in range(options.seeds):
        yield secrets.randbits(64)
    while sum(run.cases for run in runs) < options.cases and not any(run.errors for run in runs):
        yield secrets.randbits(64)


def look(server: str, seed: int, phases: str, examples: int) -> Findings:
    """Run Schemathesis, which prints what it does and finds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        exit_code = subprocess.call(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
                *("run", str(CONTRACT), "--url", server, "--phases", phases),
                *("--seed", str(seed), "--max-examples", str(examples)),
                *("--report", "json", "--report-json-path", str(report)),
            ]
        )
        found = json.loads(report.read_bytes())
    failures = found["test_cases"]["unique_failures"]
    # Warnings and broken runs have an exit code alone.
    return Findings(
        found["test_cases"]["generated"], failures, int(exit_code != 0 and not failures)
    )


@contextmanager
def fresh_server() -> Iterator[str]:
    """A server, and a PostgreSQL with nothing in it but the schema."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        # PostgreSQL's account must reach it, where root runs this.
        Path(folder).chmod(0o755)
        with running_postgres(Path(folder) / "data", durable=False) as url:
            migrate(url)
            with serving(DATABASE_URL=as_application(url)) as server:
                yield server


if __name__ == "__main__":
    sys.exit(main())
