"""What was measured: as drawings."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from tests.bench.growth import Growth
from tests.bench.peers import ERRAND, GUARDED
from tests.bench.report import Report, Result, caption, ratio
from tests.bench.workloads import USUAL_CLIENTS

WIDTH, LEFT, RIGHT = 860, 250, 150
ROW, GAP, TOP = 22, 46, 84
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}"
    ".small{font-size:11px;fill:#57606a}.title{font-size:17px;font-weight:600}"
    ".head{font-weight:600}.peer{fill:#afb8c1}.errand{fill:#1f6feb}.guarded{fill:#79aef5}"
    ".ceiling{fill:#e5e9ee}.axis{stroke:#d0d7de}.line{fill:none;stroke:#1f6feb;stroke-width:2}"
)
CLASSES = {ERRAND.name: "errand", GUARDED.name: "guarded"}

# Of the picture of all peers, if it was measured.
USUAL_PROCESSES = 1

PLOT_WIDTH, PLOT_HEIGHT, PLOT_LEFT = 520, 320, 70
LABEL = 16


def drawing(title: str, subtitle: str, height: float, content: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="#fff"/>',
            f'<text class="title" x="16" y="30">{escape(title)}</text>',
            f'<text class="small" x="16" y="50">{escape(subtitle)}</text>',
            *content,
            "</svg>\n",
        ]
    )


def of_peers(report: Report) -> str:
    """A bar for each peer, as long as its share of the fastest server's throughput."""
    groups = list(pictured(report))
    height = TOP + sum(GAP + ROW * len(group) for _, group in groups)
    title = "Requests a second, relative to Errand"
    return drawing(title, caption(report.machine), height, all_bars(groups))


def pictured(report: Report) -> Iterator[tuple[str, list[Result]]]:
    """Every workload under the usual load, or else under the first that there is."""
    groups = dict(report.groups())
    loads = [(each.clients, each.processes) for each in groups]
    usual = (USUAL_CLIENTS, USUAL_PROCESSES)
    shown = usual if usual in loads else loads[0]
    for circumstances, group in groups.items():
        if (circumstances.clients, circumstances.processes) == shown:
            yield str(circumstances), group


def all_bars(groups: list[tuple[str, list[Result]]]) -> Iterator[str]:
    top = TOP
    for name, group in groups:
        yield from bars(name, group, top)
        top += GAP + ROW * len(group)


def bars(name: str, group: list[Result], top: int) -> Iterator[str]:
    yield f'<text class="head" x="16" y="{top + 10}">{escape(name)}</text>'
    longest = max(each.sample.per_second for each in group)
    for index, each in enumerate(group):
        yield bar(each, ratio(each, group), longest, top + 20 + ROW * index)


def bar(result: Result, errand_is: float | None, longest: float, y: int) -> str:
    kind = CLASSES.get(result.peer, "peer" if result.sample.server_us else "ceiling")
    length = (WIDTH - LEFT - RIGHT) * result.sample.per_second / longest
    share = f"{1 / errand_is:.2f}" if errand_is else f"{result.sample.per_second:,.0f}"
    note = f"p99 {result.sample.p99_ms:.3g} ms"
    return (
        f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(result.title)}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>'
        f'<text x="{LEFT + length + 6:.1f}" y="{y + 12}">{share} '
        f'<tspan class="small">{note}</tspan></text>'
    )


def of_growth(rows: list[Growth], machine: dict[str, Any]) -> str:
    """A line for each reading: its median delay, from few tasks to many."""
    readings = {each.reading: [r for r in rows if r.reading == each.reading] for each in rows}
    title = "Errand: milliseconds of one client's requests (median), by the tasks of the user"
    scale = Scale.of(rows)
    sizes = dict.fromkeys(each.tasks for each in rows)
    content = [*axes(scale, sizes), *(line(each, scale) for each in readings.values())]
    content += labels([each[-1] for each in readings.values()], scale)
    return drawing(title, caption(machine), TOP + PLOT_HEIGHT + GAP, content)


@dataclass(frozen=True)
class Scale:
    """Where numbers of tasks and milliseconds stand, both by their logarithms."""

    fewest: int
    most: int
    lowest: int
    highest: int

    @staticmethod
    def of(rows: list[Growth]) -> "Scale":
        """All of them, between whole powers of ten of milliseconds."""
        sizes, delays = [each.tasks for each in rows], [each.p50_ms for each in rows]
        decades = math.floor(math.log10(min(delays))), math.ceil(math.log10(max(delays)))
        return Scale(min(sizes), max(sizes), *decades)

    def x(self, tasks: int) -> float:
        """How far to the right."""
        share = math.log(tasks / self.fewest) / math.log(self.most / self.fewest)
        return PLOT_LEFT + PLOT_WIDTH * share

    def y(self, ms: float) -> float:
        """How far down."""
        share = (self.highest - math.log10(ms)) / (self.highest - self.lowest)
        return TOP + PLOT_HEIGHT * share


def axes(scale: Scale, sizes: Iterable[int]) -> Iterator[str]:
    for power in range(scale.lowest, scale.highest + 1):
        y = scale.y(10**power)
        yield f'<path class="axis" d="M{PLOT_LEFT} {y:.1f}h{PLOT_WIDTH}"/>'
        yield f'<text x="{PLOT_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10**power:g} ms</text>'
    for size in sizes:
        at = f'x="{scale.x(size):.1f}" y="{TOP + PLOT_HEIGHT + 22}"'
        yield f'<text {at} text-anchor="middle">{size:,}</text>'


def line(rows: list[Growth], scale: Scale) -> str:
    points = " ".join(f"{scale.x(each.tasks):.1f},{scale.y(each.p50_ms):.1f}" for each in rows)
    return f'<polyline class="line" points="{points}"/>'


def labels(ends: list[Growth], scale: Scale) -> Iterator[str]:
    """The name of each line at its end, none upon another."""
    free = 0.0
    for each in sorted(ends, key=lambda end: -end.p50_ms):
        free = max(free, scale.y(each.p50_ms)) + LABEL
        at = f'x="{PLOT_LEFT + PLOT_WIDTH + 10}" y="{free - LABEL + 4:.1f}"'
        yield (
            f'<text {at}>{escape(each.reading)} <tspan class="small">{each.p50_ms:.3g} ms</tspan>'
            "</text>"
        )
