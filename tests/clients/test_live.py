"""The page of LIVE.md, as it stands there, in a real browser."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.support.browser import CHROMIUM, Page
from tests.support.issuer import Issuer
from tests.support.project import ROOT
from tests.support.servers import serving, started, trusting, url_of
from tests.support.users import User

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

[HTML] = re.findall(r"^```html\n(.+?)^```", (ROOT / "LIVE.md").read_text(), re.M | re.S)
PAUSE = "setTimeout(resolve, retry)"
SERVER = 'const server = "http://127.0.0.1:8000";'
USER = 'const user = "0190a1b2-0000-7000-8000-00000000a11c";'
AUTHORIZATION = "const authorization = async () => ({});"


class Elsewhere:
    """An origin with the page, and what the page gets there: a token."""

    def __init__(self) -> None:
        self.html = ""
        self.token = "none"
        self.tokens_given = 0
        outer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_token = self.path == "/token"
                outer.tokens_given += is_token
                body = (outer.token if is_token else outer.html).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing of it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Elsewhere"]:
        Thread(target=self._server.serve_forever, daemon=True).start()
        yield self
        self._server.shutdown()
        self._server.server_close()

    def shows(self, server: str, user: User) -> None:
        """The page is about this user of this server."""
        fetched = "fetch('/token').then((answer) => answer.text())"
        self.html = (
            HTML.replace(PAUSE, "setTimeout(resolve, retry / 10)")
            .replace(SERVER, f"const server = {json.dumps(server)};")
            .replace(USER, f"const user = {json.dumps(user.id)};")
            .replace(
                AUTHORIZATION,
                "const authorization = async () => ({ Authorization: `Bearer ${await "
                + fetched
                + "}` });",
            )
        )
        assert PAUSE not in self.html
        assert server in self.html
        assert user.id in self.html
        assert fetched in self.html


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere().running() as elsewhere:
        yield elsewhere


def rows(*texts: str) -> str:
    """Whether the page shows these."""
    shown = "[...document.querySelectorAll('li')].map((row) => row.textContent)"
    return f"JSON.stringify({shown}) === JSON.stringify({json.dumps(texts)})"


def test_the_page_shows_every_change_through_expired_tokens_and_an_erasure(
    elsewhere: Elsewhere, issuer: Issuer, database_url: str, page: Page
) -> None:
    settings = trusting(issuer, ERRAND_CORS_ORIGINS=elsewhere.origin, DATABASE_URL=database_url)
    with serving(**settings) as server, User(server, issuer) as user:
        elsewhere.token = issuer.token(user.id, exp=int(time.time()) + 2)
        elsewhere.shows(server, user)
        milk = user.creates("Buy milk")
        page.opens(elsewhere.origin)
        assert page.sees(rows("☐ Buy milk"))

        user.patch(f"{milk.url}/complete")
        assert page.sees(rows("☑ Buy milk"))
        user.creates("Buy <b>bread</b>")
        assert page.sees(rows("☑ Buy milk", "☐ Buy <b>bread</b>"))

        elsewhere.token = issuer.token(user.id)
        while elsewhere.tokens_given < 2:
            time.sleep(0.1)
        user.delete(milk.url)
        assert page.sees(rows("☐ Buy <b>bread</b>"))

        user.delete(f"/api/{user.id}")
        user.creates("Begin again")
        assert page.sees(rows("☐ Begin again"))


def test_the_page_goes_on_after_a_restart_of_the_server(
    elsewhere: Elsewhere, issuer: Issuer, database_url: str, page: Page
) -> None:
    settings: Any = trusting(
        issuer, ERRAND_CORS_ORIGINS=elsewhere.origin, DATABASE_URL=database_url
    )
    process = started(**settings)
    server = url_of(process)
    with User(server, issuer) as user:
        elsewhere.token = issuer.token(user.id)
        elsewhere.shows(server, user)
        user.creates("before")
        page.opens(elsewhere.origin)
        assert page.sees(rows("☐ before"))
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0

    process = started("--port", server.rpartition(":")[2], **settings)
    with User(url_of(process)) as again:
        again.headers["Authorization"] = f"Bearer {elsewhere.token}"
        again.post(f"/api/{user.id}/tasks", json={"title": "after"})
        assert page.sees(rows("☐ before", "☐ after"))
        page.opens("about:blank")
    process.terminate()
    process.communicate(timeout=20)
