"""The picture of the packages: the layers that import-linter checks, and what imports what."""

import tomllib
from collections.abc import Iterable
from html import escape

from tests.support.project import ROOT, imported

Edge = tuple[str, str]
Place = tuple[float, int]

TOP, LINE = 96, 44
BOX, HEIGHT, GAP = 134, 26, 10
COLUMN = 2 * BOX + GAP + 24
WIDTH = 3 * (COLUMN + 10) + 22
A_LINE = 2
STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#24292f;text-anchor:middle}"
    ".title{font:600 17px system-ui,sans-serif;text-anchor:start}"
    ".small{font:11px system-ui,sans-serif;fill:#57606a;text-anchor:start}"
    ".head{font-weight:600;font-size:14px}.band{fill:#f3f5f7}.box{fill:#fff;stroke:#8c959f}"
    "path{fill:none;stroke:#8c959f}.across{stroke:#1f6feb;opacity:.55}"
)


def layers() -> dict[str, list[list[str]]]:
    """The layers of each top-level package, the highest first, as import-linter checks them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        contract["containers"][0]: [
            [name.strip() for name in layer.split("|")] for layer in contract["layers"]
        ]
        for contract in settings["contracts"]
        if "containers" in contract
    }


def edges(nodes: Iterable[str]) -> set[Edge]:
    """Which node imports which; a node is a package or module below a top-level package."""
    known = set(nodes)
    found = {
        (node_of(".".join(path.relative_to(ROOT).with_suffix("").parts)), node_of(name))
        for top in {node.partition(".")[0] for node in known}
        for path in (ROOT / top).rglob("*.py")
        for name in imported(path)
    }
    return {(one, other) for one, other in found if one != other and {one, other} <= known}


def node_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def without_implied(all_edges: set[Edge]) -> list[Edge]:
    """The edges without those that a path of others implies."""
    return sorted(edge for edge in all_edges if edge[1] not in reached(edge[0], all_edges - {edge}))


def reached(start: str, all_edges: set[Edge]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        new = {other for one, other in all_edges if one == node} - found
        found |= new
        waiting += new
    return found


def lines_of(column: list[list[str]]) -> list[list[str]]:
    """The layers of a column in lines of a few boxes."""
    return [
        layer[start : start + A_LINE] for layer in column for start in range(0, len(layer), A_LINE)
    ]


def lines(columns: dict[str, list[list[str]]], drawn: Iterable[Edge]) -> dict[str, int]:
    """The line of each node: each column begins where all arrows to it go down."""
    placed: dict[str, int] = {}
    for top, column in columns.items():
        own = {
            f"{top}.{name}": line for line, names in enumerate(lines_of(column)) for name in names
        }
        above = [
            (placed[one], own[other]) for one, other in drawn if one in placed and other in own
        ]
        start = max((higher + 1 - lower for higher, lower in above), default=0)
        placed |= {node: start + line for node, line in own.items()}
    return placed


def drawn_imports() -> str:
    """The picture, as SVG."""
    columns = layers()
    nodes = [f"{top}.{name}" for top, column in columns.items() for each in column for name in each]
    arrows = without_implied(edges(nodes))
    line = lines(columns, arrows)
    places = {
        f"{top}.{name}": (
            16 + index * (COLUMN + 10) + (COLUMN - len(names) * (BOX + GAP) + GAP) / 2
            + position * (BOX + GAP),
            TOP + LINE * line[f"{top}.{name}"],
        )
        for index, (top, column) in enumerate(columns.items())
        for names in lines_of(column)
        for position, name in enumerate(names)
    }  # fmt: skip
    height = TOP + LINE * (max(line.values()) + 1)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>Imports go down only</title><style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            '<text class="title" x="16" y="28">Imports go down only</text>',
            '<text class="small" x="16" y="46">An arrow leads to what is imported; blue, from one '
            "top-level package to another. What other arrows imply is left out.</text>",
            *(band(index, top, places) for index, top in enumerate(columns)),
            *(arrow(places[one], places[other], one, other) for one, other in arrows),
            *(box(place, node) for node, place in places.items()),
            "</svg>\n",
        ]
    )


def band(index: int, top: str, places: dict[str, Place]) -> str:
    """The background of a top-level package."""
    heights = [y for node, (_, y) in places.items() if node.startswith(f"{top}.")]
    x, start, end = 16 + index * (COLUMN + 10), min(heights) - 34, max(heights) + HEIGHT + 8
    return (
        f'<rect class="band" x="{x}" y="{start}" width="{COLUMN}" height="{end - start}" rx="6"/>'
        f'<text class="head" x="{x + COLUMN / 2:g}" y="{start + 20}">{top}/</text>'
    )


def arrow(start: Place, end: Place, one: str, other: str) -> str:
    across = ' class="across"' if one.partition(".")[0] != other.partition(".")[0] else ""
    x1, y1 = start[0] + BOX / 2, start[1] + HEIGHT
    x2, y2 = end[0] + BOX / 2, end[1]
    return (
        f'<path{across} d="M{x1:g} {y1:g}C{x1:g} {y1 + 16:g} {x2:g} {y2 - 18:g} {x2:g} {y2:g}'
        f'm-3 -5l3 5l3 -5"/>'
    )


def box(place: Place, node: str) -> str:
    x, y = place
    is_package = (ROOT / node.replace(".", "/")).is_dir()
    name = escape(node.partition(".")[2]) + ("/" if is_package else "")
    return (
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{BOX}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x + BOX / 2:g}" y="{y + 17:g}">{name}</text>'
    )
