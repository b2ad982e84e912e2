"""Pages: Swagger UI, the contract and its workflows, the explanation of each problem."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import orjson

from handlers.etags import is_current
from openapi.contract.document import CONTRACT, Contract
from openapi.http.problems import KINDS, Kind
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_DATA, WITH_PAGES

PAGES = Path(__file__).parent / "pages"
WORKFLOWS = CONTRACT.with_name("workflows.arazzo.yaml")
HTML = "text/html; charset=utf-8"
CSS = "text/css; charset=utf-8"
JAVASCRIPT = "text/javascript; charset=utf-8"
SWAGGER_UI_FILES = {
    "swagger-ui.css": CSS,
    "swagger-ui-bundle.js": JAVASCRIPT,
    "favicon-32x32.png": "image/png",
}
ALLOW = b"GET, HEAD, OPTIONS"
SERVER_ERROR = 500

PROBLEM = """\
<section id="{name}">
<h2><span class="status{of}">{status}</span> <a href="#{name}">{title}</a></h2>
<p class="type"><code>/problems#{name}</code></p>
<p>{advice}</p>
</section>
"""
CODE = re.compile("`([^`]+)`")


class Page(Protocol):
    """A page at a path that is not in the contract."""

    def respond(self, headers: dict[bytes, bytes]) -> Response:
        """The response to a request with these headers."""


class Redirect:
    """A redirect to another page."""

    def __init__(self, location: bytes) -> None:
        headers = [*WITH_DATA, (b"location", location), (b"content-length", b"0")]
        self._response = Response(307, headers, b"")

    def respond(self, headers: dict[bytes, bytes]) -> Response:
        """The redirect."""
        return self._response


class StaticPage:
    """A document that does not change while the server runs.

    Its body is read at the first request that needs it, and kept: every connection that it is
    written to refers to the same bytes.
    """

    def __init__(self, content_type: str, read: Callable[[], bytes]) -> None:
        self._body = cache(read)
        self._etag = f'"{sha256(read()).hexdigest()[:32]}"'
        self._headers: Headers = [
            (b"content-type", content_type.encode()),
            (b"etag", self._etag.encode()),
            *WITH_PAGES,
        ]

    def respond(self, headers: dict[bytes, bytes]) -> Response:
        """The page, or 304 if the client has it already."""
        if_none_match = headers.get(b"if-none-match", b"").decode("latin-1")
        if is_current(self._etag, if_none_match):
            return Response(304, self._headers[1:], b"")
        body = self._body()
        return Response(200, [*self._headers, (b"content-length", b"%d" % len(body))], body)


def pages(contract: Contract) -> dict[bytes, Page]:
    """Every page by its path."""
    title = escape(contract.document["info"]["title"])
    docs = _text_of("docs.html").replace("{title}", title)
    explained = "".join(map(_explained, KINDS))
    problems = _text_of("problems.html").replace("{title}", title).replace("{problems}", explained)
    as_json = orjson.dumps(contract.document)
    return {
        b"/": Redirect(b"/docs"),
        b"/docs": StaticPage(HTML, docs.encode),
        b"/docs/docs.css": StaticPage(CSS, _text_of("docs.css").encode),
        b"/docs/docs.js": StaticPage(JAVASCRIPT, _text_of("docs.js").encode),
        b"/docs/problems.css": StaticPage(CSS, _text_of("problems.css").encode),
        b"/problems": StaticPage(HTML, problems.encode),
        b"/openapi.yaml": StaticPage("application/yaml", lambda: contract.written),
        b"/openapi.json": StaticPage("application/json", lambda: as_json),
        f"/{WORKFLOWS.name}".encode(): StaticPage("application/yaml", WORKFLOWS.read_bytes),
        **{f"/docs/{name}".encode(): page for name, page in _swagger_ui()},
    }


def _text_of(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _swagger_ui() -> Iterator[tuple[str, Page]]:
    """The files of swagger-ui-dist. They are large, and read when they are requested."""
    found = find_spec("flask_swagger_ui")
    assert found and found.submodule_search_locations, "a dependency is missing: flask-swagger-ui"
    folder = Path(found.submodule_search_locations[0]) / "dist"
    for name, content_type in SWAGGER_UI_FILES.items():
        yield name, StaticPage(content_type, (folder / name).read_bytes)


def _explained(kind: Kind) -> str:
    """The section of one kind of problem."""
    return PROBLEM.format(
        name=kind.name,
        status=kind.status,
        of=" of-server" if kind.status >= SERVER_ERROR else "",
        title=escape(kind.title),
        advice=CODE.sub(r"<code>\1</code>", escape(kind.advice)),
    )
