"""A real browser, driven through its debugging pipe, that reaches nothing but this machine."""

import json
import os
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE = 30
PHONE = 600

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # no other name leads anywhere
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
]
# Events in which the browser complains.
COMPLAINTS = {"Log.entryAdded", "Runtime.exceptionThrown", "Audits.issueAdded"}


class Browser:
    """A browser's debugging pipe (Chrome's DevTools protocol)."""

    def __init__(self, commands: BinaryIO, messages: BinaryIO) -> None:
        self._commands = commands
        self._messages = messages
        self._sent = 0
        self.complaints: list[dict[str, Any]] = []

    @contextmanager
    def page(self) -> Iterator["Page"]:
        """A page that shares nothing with others: no cache, no storage."""
        context = self.ask("Target.createBrowserContext")
        target = self.ask("Target.createTarget", url="about:blank", **context)
        attached = self.ask("Target.attachToTarget", flatten=True, **target)
        self.complaints.clear()
        yield Page(self, attached["sessionId"])
        self.ask("Target.disposeBrowserContext", **context)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; keeps the session's complaints that come before it."""
        self._sent += 1
        command = {"id": self._sent, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        self._commands.write(json.dumps(command).encode() + b"\0")
        self._commands.flush()
        while (message := self._next()).get("id") != self._sent:
            is_ours = message.get("sessionId") == session
            is_complaint = message.get("method") in COMPLAINTS
            if is_ours and is_complaint and not _is_mere_advice(message["params"]):
                self.complaints.append(message["params"])
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _next(self) -> dict[str, Any]:
        received = bytearray()
        while not received.endswith(b"\0"):
            byte = self._messages.read(1)
            assert byte, "the browser has ended"
            received += byte
        message: dict[str, Any] = json.loads(received[:-1])
        return message


class Page:
    """One page, and the complaints of the browser about it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.complaints = browser.complaints
        for domain in ("Log", "Runtime", "Audits"):
            self._ask(f"{domain}.enable")

    def opens(self, url: str) -> None:
        """Go to a page."""
        self._ask("Page.navigate", url=url)

    def evaluates(self, script: str) -> Any:
        """The value of an expression of JavaScript's."""
        result = self._ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def sees(self, script: str, seconds: float = PATIENCE) -> bool:
        """Whether it becomes true in time."""
        deadline = time.monotonic() + seconds
        while not self.evaluates(f"Boolean({script})"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def shows_as(self, *, dark: bool, width: int) -> None:
        """Prefer dark or light pages, in a window of that width, a phone's if it is small."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < PHONE}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def picture(self, width: int, height: int, top: int = 0) -> bytes:
        """The page as a PNG, from that line on."""
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        shot = self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return b64decode(shot["data"])

    def types(self, selector: str, text: str) -> None:
        """Type into a field, in the place of its text, once it is there."""
        assert self.sees(f"document.querySelector({selector!r})"), selector
        for prepared in ("focus", "select"):
            self.evaluates(f"document.querySelector({selector!r}).{prepared}()")
        self._ask("Input.insertText", text=text)

    def clicks(self, selector: str) -> None:
        """Click on an element, once it is there."""
        assert self.sees(f"document.querySelector({selector!r})"), selector
        self.evaluates(f"document.querySelector({selector!r}).click()")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)


def _is_mere_advice(complaint: dict[str, Any]) -> bool:
    """Advice on forms and the like."""
    return "issue" in complaint and complaint["issue"]["code"] != "ContentSecurityPolicyIssue"


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser, and stop it at the end."""
    theirs_in, commands = os.pipe()
    messages, theirs_out = os.pipe()
    # It reads commands from file 3, and writes messages to file 4.
    process = subprocess.Popen(
        [
            *("bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'),
            *(str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}"),
        ],
        pass_fds=(theirs_in, theirs_out),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    with os.fdopen(commands, "wb") as writer, os.fdopen(messages, "rb") as reader:
        try:
            yield Browser(writer, reader)
        finally:
            process.terminate()
            process.wait(timeout=20)
