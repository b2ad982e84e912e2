"""Measure Errand, beside its peers and alone: `python -m tests.bench`, on Linux, with wrk."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import (
    comparison,
    distributed,
    drawing,
    finding,
    growth,
    idle,
    load,
    peers,
    population,
    start,
    storage,
    streams,
)
from tests.bench.data import Postgres, postgres
from tests.bench.peers import PEERS, PGBENCH
from tests.bench.report import Part, Report, machine, tables
from tests.bench.workloads import USUAL, WORKLOADS
from tests.support.citus import HAS_CITUS

CONNECTIONS_BESIDES = 100
CONNECTIONS_A_PROCESS = load.POOL_SIZE * (len(PEERS) + 2)

COMPARISON = "peers"
ALONE = {
    "growth": growth,
    "finding": finding,
    "population": population,
    "idle": idle,
    "streams": streams,
    "start": start,
    "storage": storage,
    "citus": distributed,
}
PARTS = [COMPARISON, *ALONE]
USUAL_PARTS = [each for each in PARTS if each != "citus" or HAS_CITUS]


def main() -> None:
    options = arguments()
    if not shutil.which("wrk"):
        sys.exit("wrk makes the load, and is not here: apt-get install wrk")
    connections = CONNECTIONS_BESIDES + CONNECTIONS_A_PROCESS * max(options.processes)
    with postgres(connections) as database:
        facts = machine(database.url, rounds=options.rounds, seconds=options.seconds)
        report = Report(facts)
        if COMPARISON in options.parts:
            report.results.extend(comparison.measured(database, options, report.failures))
        report.parts.extend(alone(database, options, report.failures))
    written(report, options)
    if report.failures:
        sys.exit(1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = [*PEERS, PGBENCH]
    seconds = "of each measurement; should be more than any answer takes [1]"
    parser.add_argument(
        "--parts", type=some_of(PARTS), default=USUAL_PARTS, help=f"of {','.join(PARTS)}"
    )
    parser.add_argument("--seconds", type=float, default=1, help=seconds)
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken [3]")
    parser.add_argument("--clients", type=counts, default=[1, 32, 256], help="[1,32,256]")
    parser.add_argument("--processes", type=counts, default=[1, 2], help="of each server [1,2]")
    parser.add_argument("--peers", type=some_of(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument(
        "--workloads", type=some_of([*WORKLOADS]), default=USUAL, help=f"of {','.join(WORKLOADS)}"
    )
    parser.add_argument(
        "--users", type=counts, default=[100, 1_000], help="of the population [100,1000]"
    )
    parser.add_argument(
        "--baseline", type=folder, help="another checkout of Errand, measured beside this one"
    )
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--svg", type=Path, help="a file to draw the peers in")
    parser.add_argument("--growth-svg", type=Path, help="a file to draw the growth in")
    return parser.parse_args()


def folder(text: str) -> Path:
    return Path(text).resolve(strict=True)


def counts(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def some_of(names: list[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        wanted = text.split(",") if text else []
        if unknown := set(wanted) - set(names):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
        return wanted

    return chosen


def alone(database: Postgres, options: argparse.Namespace, failures: list[str]) -> Iterator[Part]:
    """What is measured of Errand without peers; a part that fails leaves the others their say."""
    for name in (each for each in options.parts if each in ALONE):
        part = ALONE[name]
        try:
            yield Part(name, part.TITLE, list(part.measured(database, options)))
        except (load.WrongAnswers, peers.Unavailable) as error:
            failures.append(f"{name}: {error}")


def written(report: Report, options: argparse.Namespace) -> None:
    print(tables(report))
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")
    if options.svg and report.results:
        options.svg.write_text(drawing.of_peers(report))
    grown = [row for part in report.parts for row in part.rows if isinstance(row, growth.Growth)]
    if options.growth_svg and grown:
        options.growth_svg.write_text(drawing.of_growth(grown, report.machine))


if __name__ == "__main__":
    main()
