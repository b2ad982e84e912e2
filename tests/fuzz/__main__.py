"""The long search for a request whose response breaks the contract.

    python -m tests.fuzz [--cases 20000] [--seeds 3]

It brings a PostgreSQL of its own, a server in open mode, and one that asks for tokens. The seeds
are new in every run; one of them is had again with `--seed`, the other numbers being the same.
"""

import argparse
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from db.migrate import migrate
from db.postgres.embedded import running_postgres
from db.postgres.roles import as_application
from tests.support.issuer import running_issuer
from tests.support.project import ROOT
from tests.support.servers import serving, trusting

CONFIG = ROOT / "schemathesis.toml"
# Apart, because after a long fuzzing phase the stateful one gives up early.
PHASES = ("examples,coverage,fuzzing", "stateful")
# Either run makes at least five cases of one of Schemathesis's `--max-examples`.
CASES_OF_AN_EXAMPLE = 5
A_DAY = 24 * 60 * 60


class Findings(NamedTuple):
    """The result of one run of Schemathesis."""

    cases: int
    failures: int
    errors: int


def main() -> int:
    """Fuzz until there are enough cases from enough seeds; 0 if nothing was found."""
    options = _options()
    started = time.monotonic()
    runs: list[Findings] = []
    with fresh_servers() as servers:
        looks = len(PHASES) * len(servers)
        examples = math.ceil(options.cases / options.seeds / looks / CASES_OF_AN_EXAMPLE)
        for seed in _seeds(options, runs):
            for server, phases in product(servers, PHASES):
                print(f"\n=== seed {seed}, {server.name}, {phases}", flush=True)
                runs.append(look(server, seed, phases, examples))
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
    """The wanted number of seeds, and further ones while there are too few cases."""
    if options.seed is not None:
        yield options.seed
        return
    for _ in range(options.seeds):
        yield secrets.randbits(64)
    while sum(run.cases for run in runs) < options.cases and not any(run.errors for run in runs):
        yield secrets.randbits(64)


class Target(NamedTuple):
    """A server to fuzz, and the users to fuzz it as."""

    name: str
    url: str
    config: Path
    users: dict[str, str]
    tokens: dict[str, str]


def look(server: Target, seed: int, phases: str, examples: int) -> Findings:
    """Run Schemathesis, which prints what it does and finds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        exit_code = subprocess.call(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(server.config)),
                *("run", f"{server.url}/openapi.json", "--phases", phases),
                *("--seed", str(seed), "--max-examples", str(examples)),
                *("--report", "json", "--report-json-path", str(report)),
            ],
            env={
                **os.environ,
                "FUZZED_AS": json.dumps(server.users),
                "FUZZED_WITH": json.dumps([*server.tokens.values()]),
            },
        )
        found = json.loads(report.read_bytes())
    failures = found["test_cases"]["unique_failures"]
    # Warnings and broken runs have an exit code alone.
    return Findings(
        found["test_cases"]["generated"], failures, int(exit_code != 0 and not failures)
    )


@contextmanager
def fresh_servers() -> Iterator[list[Target]]:
    """A server in open mode and one that requires tokens, on a PostgreSQL of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="errand-")))
        # PostgreSQL's account must reach it, where root runs this.
        folder.chmod(0o755)
        url = stack.enter_context(running_postgres(folder / "data", durable=False))
        migrate(url)
        database = {"DATABASE_URL": as_application(url)}
        issuer = stack.enter_context(running_issuer())
        settings = trusting(issuer, ERRAND_RATE_LIMIT="1000000", **database)
        users = {name: str(uuid4()) for name in ("alice", "bob")}
        tomorrow = int(time.time()) + A_DAY
        tokens = {name: issuer.token(user_id, exp=tomorrow) for name, user_id in users.items()}
        yield [
            Target("in open mode", stack.enter_context(serving(**database)), CONFIG, {}, {}),
            Target(
                "with tokens",
                stack.enter_context(serving(**settings)),
                config_with(tokens, folder),
                users,
                tokens,
            ),
        ]


def config_with(tokens: dict[str, str], folder: Path) -> Path:
    """The same configuration, and users whose data each other must not see."""
    document = {
        "auth": [
            {
                "name": name,
                "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}],
            }
            for name, token in tokens.items()
        ]
    }
    (folder / "users.json").write_text(json.dumps(document))
    config = folder / CONFIG.name
    users_of_it = f'path = "{folder}/users.json"\npeers = {json.dumps(list(tokens))}\n'
    config.write_text(f"{CONFIG.read_text()}\n[auth.wfc]\n{users_of_it}")
    return config


if __name__ == "__main__":
    sys.exit(main())
