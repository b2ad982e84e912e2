"""What the browser lets the pages do, and which pages it lets call the server."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.support.browser import CHROMIUM, Page
from tests.support.servers import Serve

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.mark.parametrize("path", ["/docs", "/problems"])
def test_a_page_of_the_server_breaks_none_of_its_own_rules(
    server: str, page: Page, path: str
) -> None:
    page.opens(server + path)

    assert page.sees("document.readyState === 'complete'")
    assert page.complaints == []


def test_what_the_rules_forbid_does_not_happen(server: str, page: Page) -> None:
    page.opens(f"{server}/docs")
    assert page.sees("document.querySelector('.swagger-ui')")

    page.evaluates(
        "document.body.append(Object.assign(document.createElement('script'),"
        " {textContent: 'window.intruded = true'}))"
    )

    assert page.evaluates("window.intruded") is None
    assert page.complaints


CALL = """
fetch('{server}/api/0190a1b2-0000-7000-8000-00000000a11c/tasks', {{
    method: 'POST',
    headers: {{'Content-Type': 'application/json', 'Authorization': 'Bearer x'}},
    body: '{{"title": "Buy milk"}}',
}}).then(answer => answer.headers.get('Location'), error => 'refused')
"""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The origin of an empty page on another server."""
    other = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    Thread(target=other.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{other.server_port}"
    other.shutdown()
    other.server_close()


class EmptyPage(BaseHTTPRequestHandler):
    """Answers everything with a page that is allowed everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of it."""


def test_only_a_page_of_a_named_origin_may_call_the_api(
    server: str, serve: Serve, elsewhere: str, page: Page
) -> None:
    open_to_it = serve(ERRAND_CORS_ORIGINS=elsewhere)
    page.opens(elsewhere)
    assert page.sees(f"location.origin === '{elsewhere}' && document.readyState === 'complete'")

    assert page.evaluates(CALL.format(server=open_to_it)).startswith("/api/")
    assert page.evaluates(CALL.format(server=server)) == "refused"
