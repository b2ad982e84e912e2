"""The recording of a terminal: commands that are really executed, drawn as an animation."""

import subprocess
import sys
from collections.abc import Iterator
from html import escape
from itertools import count
from pathlib import Path

from tests.support.folders import temporary_folder

USER = "0190a1b2-0000-7000-8000-00000000a11c"
TASK = "3f8a5d0e-6c1b-4e2f-9a7d-0b1c2d3e4f50"
SERVE = ".venv/bin/errand serve"
SCENES = {
    "In another terminal. Create a task:": (
        f"user=http://127.0.0.1:8000/api/{USER}\n"
        f"""curl $user/tasks --json '{{"id": "{TASK}", "title": "Buy milk"}}'"""
    ),
    "A request with two faults. The response names both, with their places:": (
        """curl $user/tasks --json '{"title": "", "colour": "red"}'"""
    ),
    "A change of an old version. The response shows the task as it is:": (
        f"""curl -X PATCH $user/tasks/{TASK} -H 'If-Match: "1"' --json '{{"completed": true}}'"""
    ),
    "What has changed, for a client that keeps a copy:": "curl $user/changes",
}

COLUMNS = 116
CHARACTER, LINE, MARGIN = 7.8, 19, 18
TYPING, READING = 0.03, 1.6
STYLE = (
    "text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#d7dde4;white-space:pre}"
    ".command{fill:#fff;font-weight:600}.comment{fill:#8fa3b8}"
    "text{animation:appear .01s both}.command{animation:type both}"
    "@keyframes appear{from{opacity:0}}@keyframes type{from{clip-path:inset(0 100% 0 0)}}"
    "@media(prefers-reduced-motion){text,.command{animation:none}}"
)


def recorded() -> list[tuple[str, str]]:
    """The lines of the session, each with its kind: a command, a comment or output."""
    errand = Path(sys.executable).parent / "errand"
    with temporary_folder() as folder:
        server = subprocess.Popen(
            [errand, "serve", "--port", "0", "--data-dir", folder / "data"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout
        try:
            announced = [server.stdout.readline().rstrip("\n") for _ in range(4)]
            port = announced[0].rpartition(":")[2]
            lines = [("command", f"$ {SERVE}"), *(("output", line) for line in announced)]
            lines += list(scenes(port))
        finally:
            server.terminate()
            server.communicate(timeout=30)
    return [(kind, line.replace(f":{port}", ":8000")) for kind, line in lines]


def scenes(port: str) -> Iterator[tuple[str, str]]:
    """The requests, and what curl prints."""
    before = ""
    for comment, commands in SCENES.items():
        yield "output", ""
        yield "comment", f"# {comment}"
        yield from (("command", f"$ {each}") for each in commands.splitlines())
        script = f"{before}\n{commands}".replace(":8000", f":{port}")
        done = subprocess.run(
            ["bash", "-c", script.replace("curl ", "curl --silent ")],
            capture_output=True,
            check=True,
            text=True,
        )
        yield "output", done.stdout
        before = before or commands.splitlines()[0]


def drawn_session(lines: list[tuple[str, str]]) -> str:
    """The recording, as SVG: lines longer than the terminal are broken."""
    shown = [
        (kind, part)
        for kind, line in lines
        for part in [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)] or [""]
    ]
    width, height = COLUMNS * CHARACTER + 2 * MARGIN, len(shown) * LINE + 2 * MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
            ' role="img">',
            f"<title>A session with Errand in a terminal</title><style>{STYLE}</style>",
            f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#161b22"/>',
            *drawn_lines(shown),
            "</svg>\n",
        ]
    )


def drawn_lines(shown: list[tuple[str, str]]) -> Iterator[str]:
    """Each line, from its moment on: commands are typed, and their output waits to be read."""
    now = 0.5
    for number, (kind, line) in zip(count(1), shown, strict=False):
        if kind == "comment":
            now += READING
        if not line:
            continue
        timing = f"animation-delay:{now:.2f}s"
        if kind == "command":
            lasts = TYPING * len(line)
            timing += f";animation-duration:{lasts:.2f}s"
            timing += f";animation-timing-function:steps({len(line)})"
            now += lasts + 0.2
        yield (
            f'<text class="{kind}" style="{timing}" x="{MARGIN}" y="{MARGIN + LINE * number - 6}"'
            f' textLength="{len(line) * CHARACTER:.0f}" lengthAdjust="spacingAndGlyphs">'
            f"{escape(line, quote=False)}</text>"
        )
