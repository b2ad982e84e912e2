"""What was measured: as tables, and as JSON."""

import os
import platform
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2

from tests.bench import tokens
from tests.bench.load import Sample
from tests.bench.peers import ERRAND, GUARDED

COLUMNS = f"{'Errand is':>10} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8}"
COSTS = f" {'server µs':>10} {'postgres µs':>12} {'MiB':>6}"

FEW_ANSWERS = 5
CUT_OFF_NOTE = (
    f"* Each client had fewer than {FEW_ANSWERS} answers; what it still waited for at the end is\n"
    "not counted. So these delays are too short: measure for more seconds."
)


class Circumstances(NamedTuple):
    """A load, and how many processes each server had to bear it."""

    workload: str
    clients: int
    processes: int

    def __str__(self) -> str:
        """It, as one says it."""
        clients = counted(self.clients, "client", "clients")
        return f"{self.workload}, {clients}, {counted(self.processes, 'process', 'processes')}"


@dataclass(frozen=True)
class Result:
    """The medians of one peer under one load."""

    peer: str
    title: str
    workload: str
    clients: int
    processes: int
    sample: Sample

    @property
    def circumstances(self) -> Circumstances:
        """What it shares with those it can be compared with."""
        return Circumstances(self.workload, self.clients, self.processes)


@dataclass(frozen=True)
class Part:
    """What was measured of Errand alone: rows of one class, whose fields are columns."""

    name: str
    title: str
    rows: list[Any]


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and where."""

    machine: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def groups(self) -> Iterator[tuple[Circumstances, list[Result]]]:
        """Results that can be compared, the fastest first."""
        for alike in dict.fromkeys(each.circumstances for each in self.results):
            of_group = [each for each in self.results if each.circumstances == alike]
            of_group.sort(key=lambda each: -each.sample.per_second)
            yield alike, of_group

    def document(self) -> dict[str, Any]:
        """It all, as JSON has it."""
        return {
            "machine": self.machine,
            "failures": self.failures,
            "results": [
                {"errand_is": ratio(each, group), **asdict(each)}
                for _, group in self.groups()
                for each in group
            ],
            **{each.name: [asdict(row) for row in each.rows] for each in self.parts},
        }


def machine(postgres_url: str, **settings: Any) -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    with closing(psycopg2.connect(postgres_url)) as connection:
        version = connection.server_version
    return {
        "cores": os.cpu_count(),
        "cpu": cpu_model(),
        "system": platform.system(),
        "python": platform.python_version(),
        "postgresql": f"{version // 10_000}.{version % 10_000}",
        **settings,
    }


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def ratio(result: Result, group: list[Result]) -> float | None:
    """How many times as many requests as this one Errand serves."""
    for each in group:
        if each.peer == ERRAND.name:
            return round(each.sample.per_second / result.sample.per_second, 3)
    return None


def tables(report: Report) -> str:
    """The ratios first: they hold from machine to machine, and the figures don't."""
    lines = [caption(report.machine)]
    for circumstances, group in report.groups():
        lines += ["", f"{circumstances!s:34}{COLUMNS}{COSTS}"]
        lines += [table_row(each, ratio(each, group), was_cut_off(each, report)) for each in group]
    if any(was_cut_off(each, report) for each in report.results):
        lines += ["", CUT_OFF_NOTE]
    if any(each.peer == GUARDED.name for each in report.results):
        lines += ["", tokens.NOTE]
    lines += gains(report.results)
    for each in report.parts:
        lines += ["", each.title, *plain_table(each.rows)]
    lines += ["", *(f"FAILED: {each}" for each in report.failures)] if report.failures else []
    return "\n".join(lines)


def was_cut_off(result: Result, report: Report) -> bool:
    """Whether many delays were so long that the measurement ended before the answer came."""
    answers: float = result.sample.per_second * report.machine["seconds"]
    return answers < FEW_ANSWERS * result.clients


def table_row(result: Result, errand_is: float | None, cut_off: bool) -> str:
    s = result.sample
    factor = f"{errand_is:.2f} x" if errand_is else ""
    row = f"{result.title:34}{factor:>10} {s.per_second:>9,.0f} {s.p50_ms:>8.2f} {s.p99_ms:>8.2f}"
    server = f"{s.server_us:>10.0f}" if s.server_us else f"{'':>10}"
    memory = f"{s.memory_mib:>6.0f}" if s.memory_mib else ""
    mark = "*" if cut_off else " "
    return f"{row}{mark}{server} {s.postgres_us:>12.0f} {memory}".rstrip()


def gains(results: list[Result]) -> Iterator[str]:
    """How many times the requests of one process several of them serve."""
    rates = {(each.peer, each.circumstances): each.sample.per_second for each in results}
    for several in dict.fromkeys(each.circumstances for each in results if each.processes > 1):
        one = several._replace(processes=1)
        factors = [
            f"{each.title} {each.sample.per_second / rates[each.peer, one]:.2f} x"
            for each in results
            if each.circumstances == several and (each.peer, one) in rates
        ]
        if factors:
            yield f"\n{several}, against one:\n  {', '.join(factors)}"


def plain_table(rows: list[Any]) -> Iterator[str]:
    """A column for each field, under its name."""
    names = [each.name.replace("_", " ") for each in fields(rows[0])]
    for row in [names, *(astuple(row) for row in rows)]:
        first, *others = map(cell, row)
        yield f"  {first:32}" + "".join(f"{each:>22}" for each in others)


def cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def counted(number: int, one: str, several: str) -> str:
    """So many of them, as one says it."""
    return f"{number:,} {one if number == 1 else several}"


def caption(facts: dict[str, Any]) -> str:
    return (
        f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}, "
        f"PostgreSQL {facts['postgresql']} with fsync; "
        f"8 of its connections a process; medians of {facts['rounds']} x {facts['seconds']:g} s"
    )
