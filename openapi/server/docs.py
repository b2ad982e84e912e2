"""Pages for people: Swagger UI, the contract as it was written, what each problem means."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import orjson

from handlers.etags import is_current
from openapi.contract.document import Contract
from openapi.http.problems import KINDS
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_DATA, WITH_PAGES

SWAGGER_UI_FILES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
ALLOW = b"GET, HEAD, OPTIONS"

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
{head}</head>
<body>
{body}</body>
</html>
"""
SWAGGER_UI_HEAD = '<link rel="stylesheet" href="/docs/swagger-ui.css">\n'
SWAGGER_UI_BODY = """\
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
"""
SWAGGER_UI_START = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
});
"""


class Page(Protocol):
    """What a path outside the contract responds to GET."""

    def respond(self, headers: dict[bytes, bytes]) -> Response:
        """The response to a request with these headers."""


class Redirect:
    """A page that is elsewhere."""

    def __init__(self, location: bytes) -> None:
        headers = [*WITH_DATA, (b"location", location), (b"content-length", b"0")]
        self._response = Response(307, headers, b"")

    def respond(self, headers: dict[bytes, bytes]) -> Response:
        """The way to the page."""
        return self._response


class StaticPage:
    """A document that does not change while the server runs."""

    def __init__(self, content_type: str, read: Callable[[], bytes]) -> None:
        self._read = read
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
        body = self._read()
        return Response(200, [*self._headers, (b"content-length", b"%d" % len(body))], body)


def pages(contract: Contract) -> dict[bytes, Page]:
    """Every page by its path."""
    html = "text/html; charset=utf-8"
    title = escape(contract.document["info"]["title"])
    swagger_ui = PAGE.format(title=title, head=SWAGGER_UI_HEAD, body=SWAGGER_UI_BODY)
    problems = PAGE.format(title=f"{title}: problems", head="", body="".join(_explanations()))
    as_json = orjson.dumps(contract.document)
    return {
        b"/": Redirect(b"/docs"),
        b"/docs": StaticPage(html, swagger_ui.encode),
        b"/docs/start.js": StaticPage("text/javascript; charset=utf-8", SWAGGER_UI_START.encode),
        b"/problems": StaticPage(html, problems.encode),
        b"/openapi.yaml": StaticPage("application/yaml", lambda: contract.written),
        b"/openapi.json": StaticPage("application/json", lambda: as_json),
        **{f"/docs/{name}".encode(): page for name, page in _swagger_ui()},
    }


def _swagger_ui() -> Iterator[tuple[str, Page]]:
    """The files of swagger-ui-dist. They are large, and read when they are requested."""
    found = find_spec("flask_swagger_ui")
    assert found and found.submodule_search_locations, "a dependency is missing: flask-swagger-ui"
    folder = Path(found.submodule_search_locations[0]) / "dist"
    for name, content_type in SWAGGER_UI_FILES.items():
        yield name, StaticPage(content_type, (folder / name).read_bytes)


def _explanations() -> Iterator[str]:
    yield "<h1>Problems</h1>\n"
    for kind in KINDS:
        yield f'<h2 id="{kind.name}">{kind.status}: {escape(kind.title)}</h2>\n'
        yield f"<p>{escape(kind.advice)}</p>\n"
