"""What was measured: as a table, as JSON, and as a drawing."""

import os
import platform
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import psycopg2

from tests.benchmark.load import Sample
from tests.benchmark.peers import ERRAND

COLUMNS = f"{'Errand is':>10} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8}"
COSTS = f" {'server µs':>10} {'postgres µs':>12} {'MiB':>6}"

WIDTH, LEFT, RIGHT = 860, 250, 150
ROW, GAP, TOP = 22, 46, 84
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}"
    ".small{font-size:11px;fill:#57606a}.title{font-size:17px;font-weight:600}"
    ".head{font-weight:600}.peer{fill:#afb8c1}.errand{fill:#1f6feb}.ceiling{fill:#e5e9ee}"
)


@dataclass(frozen=True)
class Result:
    """The medians of one peer under one load."""

    peer: str
    title: str
    workload: str
    clients: int
    sample: Sample


@dataclass(frozen=True)
class Report:
    """Everything that was measured, and where."""

    machine: dict[str, Any]
    results: list[Result]
    failures: list[str]

    def groups(self) -> Iterator[tuple[str, list[Result]]]:
        """Results that can be compared, the fastest first, each group with its name."""
        keys = dict.fromkeys((each.workload, each.clients) for each in self.results)
        for workload, clients in keys:
            of_group = [e for e in self.results if (e.workload, e.clients) == (workload, clients)]
            of_group.sort(key=lambda each: -each.sample.per_second)
            yield f"{workload}, {clients} client{'s' * (clients > 1)}", of_group

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


def table(report: Report) -> str:
    """The ratios first: they hold from machine to machine, and the figures don't."""
    lines = [caption(report.machine)]
    for name, group in report.groups():
        lines += ["", f"{name:34}{COLUMNS}{COSTS}"]
        lines += [table_row(each, ratio(each, group)) for each in group]
    lines += ["", *(f"FAILED: {each}" for each in report.failures)] if report.failures else []
    return "\n".join(lines)


def table_row(result: Result, errand_is: float | None) -> str:
    s = result.sample
    factor = f"{errand_is:.2f} x" if errand_is else ""
    row = f"{result.title:34}{factor:>10} {s.per_second:>9,.0f} {s.p50_ms:>8.2f} {s.p99_ms:>8.2f}"
    server = f"{s.server_us:>10.0f}" if s.server_us else f"{'':>10}"
    memory = f"{s.memory_mib:>6.0f}" if s.memory_mib else ""
    return f"{row} {server} {s.postgres_us:>12.0f} {memory}".rstrip()


def caption(facts: dict[str, Any]) -> str:
    return (
        f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}, "
        f"PostgreSQL {facts['postgresql']} with fsync; one process a server, "
        f"8 connections; medians of {facts['rounds']} x {facts['seconds']:g} s"
    )


def svg(report: Report) -> str:
    """A bar for each peer, as long as its share of the fastest server's throughput."""
    groups = list(report.groups())
    height = TOP + sum(GAP + ROW * len(group) for _, group in groups)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Errand and its peers</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text class="title" x="16" y="30">Requests a second, relative to Errand</text>',
        f'<text class="small" x="16" y="50">{escape(caption(report.machine))}</text>',
    ]
    top = TOP
    for name, group in groups:
        parts += svg_group(name, group, top)
        top += GAP + ROW * len(group)
    return "\n".join([*parts, "</svg>", ""])


def svg_group(name: str, group: list[Result], top: int) -> Iterator[str]:
    yield f'<text class="head" x="16" y="{top + 10}">{escape(name)}</text>'
    longest = max(each.sample.per_second for each in group)
    for index, each in enumerate(group):
        yield svg_bar(each, ratio(each, group), longest, top + 20 + ROW * index)


def svg_bar(result: Result, errand_is: float | None, longest: float, y: int) -> str:
    kind = (
        "errand" if result.peer == ERRAND.name else "peer" if result.sample.server_us else "ceiling"
    )
    length = (WIDTH - LEFT - RIGHT) * result.sample.per_second / longest
    share = f"{1 / errand_is:.2f}" if errand_is else f"{result.sample.per_second:,.0f}"
    note = f"p99 {result.sample.p99_ms:.3g} ms"
    return (
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(result.title)}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>'
        f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{share} '
        f'<tspan class="small">{note}</tspan></text>'
    )
