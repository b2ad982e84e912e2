"""The picture of Swagger UI, which also says in words what it shows."""

import struct
import zlib

from tests.support.browser import browser
from tests.support.contract import DOCUMENT, METHODS
from tests.support.folders import temporary_folder
from tests.support.servers import serving
from tests.support.swagger_ui import SwaggerUi

WIDTH, MARGIN = 1180, 12
FIRST = "document.querySelector('.opblock-tag-section').getBoundingClientRect().top"
LAST = (
    "[...document.querySelectorAll('.opblock-tag-section')].at(-1).getBoundingClientRect().bottom"
)
HEADER = len(b"\x89PNG\r\n\x1a\n") + 25


def summaries() -> list[str]:
    """What the picture shows: each operation, in a line."""
    return [
        f"{method.upper()} {path} {item[method]['summary']}"
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in METHODS
    ]


def pictured() -> bytes:
    """The operations in a browser, as a PNG."""
    with (
        temporary_folder() as folder,
        serving(ERRAND_DATA_DIR=str(folder / "data")) as server,
        browser(folder / "profile") as started,
        started.page() as page,
    ):
        page.shows_as(dark=False, width=WIDTH)
        SwaggerUi.at(server, page)
        top, bottom = round(page.evaluates(FIRST)), round(page.evaluates(LAST))
        return described(page.picture(WIDTH, bottom - top, top - MARGIN))


def described(png: bytes) -> bytes:
    """The picture with a text chunk that has the operations in words."""
    text = b"tEXtDescription\0" + "\n".join(summaries()).encode("latin-1")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:HEADER] + chunk + png[HEADER:]
