"""Makes the pictures of the pages: `python -m tests.pictures`, or only those that are named."""

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.pictures.imports import drawn_imports
from tests.pictures.session import drawn_session, recorded
from tests.pictures.swagger_ui import pictured

FOLDER = Path(__file__).parent
PICTURES: dict[str, Callable[[], bytes]] = {
    "imports.svg": lambda: drawn_imports().encode(),
    "session.svg": lambda: drawn_session(recorded()).encode(),
    "swagger-ui.png": pictured,
}


def main() -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names or list(PICTURES)
    for name in names:
        (FOLDER / name).write_bytes(PICTURES[name]())
        print(f"tests/pictures/{name}")


if __name__ == "__main__":
    main()
