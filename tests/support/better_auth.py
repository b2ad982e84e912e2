"""Better Auth itself, with the code of BETTER-AUTH.md, and its users."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from tests.support.databases import administration
from tests.support.project import BETTER_AUTH

PAGE = BETTER_AUTH.read_text()
CODE = dict(re.findall(r"^```ts\n// (.+)\n((?s:.+?))^```$", PAGE, re.MULTILINE))
SETTINGS = dict(re.findall(r"^(\w+)=(.+)$", PAGE, re.MULTILINE))
ITS_URL = "http://localhost:3000"


@dataclass
class Site:
    """A running Better Auth."""

    url: str
    database_url: str
    process: subprocess.Popen[str]

    @property
    def settings(self) -> dict[str, str]:
        """The settings of Errand that the page names."""
        return {name: value.replace(ITS_URL, self.url) for name, value in SETTINGS.items()}

    def loses_its_keys(self) -> None:
        """Delete its keys; it makes a new one."""
        with administration(self.database_url) as execute:
            execute("DELETE FROM jwks")

    def stops(self) -> None:
        """It stops listening."""
        self.process.terminate()
        self.process.communicate(timeout=20)


class Member(httpx.Client):
    """A user who has signed up."""

    def __init__(self, site: Site) -> None:
        super().__init__(base_url=site.url, headers={"Origin": site.url}, timeout=30)
        self._account = {"email": f"{uuid4().hex}@example.com", "password": "a long password"}
        self.id = ""

    def signs_up(self) -> "Member":
        """Sign up, which begins a session."""
        self.id = self._enters("sign-up", name="Alice")
        return self

    def signs_in_again(self) -> None:
        """Sign in, which begins another session."""
        self.cookies.clear()
        assert self._enters("sign-in") == self.id

    def token(self) -> str:
        """The user's token."""
        response = self.get("/api/auth/token")
        assert response.status_code == 200, response.text
        token: str = response.json()["token"]
        return token

    def _enters(self, how: str, **others: str) -> str:
        response = self.post(f"/api/auth/{how}/email", json={**self._account, **others})
        assert response.status_code == 200, response.text
        name: str = response.json()["user"]["id"]
        return name


def code_of_the_page() -> dict[str, str]:
    """The files of the page's code; the code of a web page exports the tasks that it reads."""
    return {
        "auth.ts": CODE["auth.ts"],
        "route.ts": CODE["app/api/auth/[...all]/route.ts"].replace('"@/auth"', '"./auth.js"'),
        "page.ts": CODE["errand.ts"] + CODE["in a page"] + "export { tasks };\n",
    }


@contextmanager
def running(folder: Path, database_url: str) -> Iterator[Site]:
    """Run Better Auth with the code of that folder."""
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            ["node", "server.js"],
            cwd=folder,
            env={
                **os.environ,
                "DATABASE_URL": database_url,
                "BETTER_AUTH_SECRET": uuid4().hex,
                "BETTER_AUTH_TELEMETRY": "0",
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout
    site = Site(process.stdout.readline().strip(), database_url, process)
    try:
        assert site.url, log.read_text()
        yield site
    finally:
        site.stops()


def empty_database(postgres_url: str) -> str:
    """A new database without Errand's schema."""
    name = f"better_auth_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE DATABASE {name}")
    return urlsplit(postgres_url)._replace(path=f"/{name}").geturl()
