"""Better Auth itself, set up with the page's code: Errand takes its tokens, come what may."""

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from urllib.parse import quote
from uuid import uuid4, uuid5

import httpx
import jwt
import pytest

from openapi.access.token_rules import SEPARATOR
from openapi.access.tokens import NAMESPACE
from tests.support import http
from tests.support.better_auth import Member, Site, code_of_the_page, empty_database, running
from tests.support.browser import CHROMIUM, Page
from tests.support.issuer import SigningKey, new_private, tampered
from tests.support.programs import attempted, install_node_packages
from tests.support.responses import assert_problem
from tests.support.servers import Serve, serving

PROGRAMS = Path(__file__).parent / "better_auth"

UUIDS = 'advanced: { database: { generateId: "uuid" } },'
PLUGIN = "plugins: [jwt()],"
ROTATING = "plugins: [jwt({ jwks: { rotationInterval: 3 } })],"

pytestmark = pytest.mark.long


class Start(Protocol):
    """Starts Better Auth with the page's code, but for one thing that is written otherwise."""

    def __call__(self, written: str = "", otherwise: str = "") -> Site: ...


@pytest.fixture(scope="session")
def compiled() -> Iterator[Path]:
    """A folder with Better Auth and the page's code, which is strictly typed."""
    with tempfile.TemporaryDirectory(prefix="errand-") as name:
        folder = shutil.copytree(PROGRAMS, Path(name), dirs_exist_ok=True)
        for file, code in code_of_the_page().items():
            (folder / file).write_text(code)
        install_node_packages(folder, "better-auth")
        done = attempted(folder, "tsc")
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder


@pytest.fixture(scope="module")
def start(compiled: Path, postgres_url: str) -> Iterator[Start]:
    """Start Better Auth, each time with a database of its own; they stop with the last test."""
    with ExitStack() as stack:

        def run(written: str = "", otherwise: str = "") -> Site:
            folder = compiled / uuid4().hex
            folder.mkdir()
            for program in compiled.glob("*.js"):
                shutil.copy(program, folder)
            code = (folder / "auth.js").read_text()
            assert written in code
            (folder / "auth.js").write_text(code.replace(written, otherwise))
            return stack.enter_context(running(folder, empty_database(postgres_url)))

        yield run


@pytest.fixture(scope="module")
def site(start: Start) -> Site:
    """Better Auth as the page has it."""
    return start()


@pytest.fixture(scope="module")
def errand(site: Site, database_url: str) -> Iterator[str]:
    """Errand, with the page's settings."""
    with serving(DATABASE_URL=database_url, **site.settings) as url:
        yield url


@pytest.fixture
def alice(site: Site) -> Iterator[Member]:
    """A user who has signed up."""
    with Member(site) as member:
        yield member.signs_up()


@pytest.fixture
def bob(site: Site) -> Iterator[Member]:
    """Another user who has signed up."""
    with Member(site) as member:
        yield member.signs_up()


def test_a_member_who_signs_up_has_tasks_under_the_same_id(errand: str, alice: Member) -> None:
    tasks = f"{errand}/api/{alice.id}/tasks"

    created = http.post(tasks, json={"title": "Buy milk"}, headers=bearer(alice.token()))

    assert created.status_code == 201
    assert http.get(tasks, headers=bearer(alice.token())).json() == [created.json()]


def test_a_member_does_not_reach_the_tasks_of_another(
    errand: str, alice: Member, bob: Member
) -> None:
    tasks = f"{errand}/api/{alice.id}/tasks"

    assert_problem(http.get(tasks, headers=bearer(bob.token())), 403, "not-yours")


def test_a_token_that_was_tampered_with_is_none(errand: str, alice: Member) -> None:
    response = me(errand, tampered(alice.token()))

    assert_problem(response, 401, "unauthenticated")


def test_with_uuids_a_user_has_the_same_id_on_both_sides(errand: str, alice: Member) -> None:
    first = me(errand, alice.token()).json()
    alice.signs_in_again()
    second = me(errand, alice.token()).json()

    assert first["user_id"] == second["user_id"] == alice.id


def test_an_id_that_is_no_uuid_is_mapped_always_to_the_same(start: Start, serve: Serve) -> None:
    site = start(UUIDS, "")
    errand = serve(**site.settings)

    with Member(site) as carol:
        carol.signs_up()
        first = me(errand, carol.token()).json()
        carol.signs_in_again()
        second = me(errand, carol.token()).json()

    assert re.fullmatch(r"[A-Za-z0-9]{32}", carol.id)
    assert first["user_id"] == second["user_id"]
    assert first["user_id"] == str(uuid5(NAMESPACE, site.url + SEPARATOR + carol.id))
    assert first["subject"] == carol.id


def test_when_the_time_of_a_key_is_over_tokens_of_the_next_are_taken_beside_its_own(
    start: Start, serve: Serve
) -> None:
    site = start(PLUGIN, ROTATING)
    with Member(site) as carol:
        old = carol.signs_up().token()
        errand = serve(**site.settings)
        assert me(errand, old).status_code == 200

        new = token_of_another_key(carol, old)

    assert me(errand, new).status_code == 200
    assert me(errand, old).status_code == 200


def test_when_a_key_is_deleted_its_tokens_are_refused_once_another_is_seen(
    start: Start, serve: Serve
) -> None:
    site = start()
    with Member(site) as carol:
        old = carol.signs_up().token()
        errand = serve(**site.settings)
        assert me(errand, old).status_code == 200

        site.loses_its_keys()
        new = carol.token()

    assert me(errand, new).status_code == 200
    assert_problem(me(errand, old), 401, "unauthenticated")


def test_while_better_auth_is_away_its_tokens_are_taken(start: Start, serve: Serve) -> None:
    site = start()
    with Member(site) as carol, Member(site) as dave:
        seen, unseen = carol.signs_up().token(), dave.signs_up().token()
    errand = serve(**site.settings)
    assert me(errand, seen).status_code == 200

    site.stops()
    unknown = me(errand, signed_with_another_key(unseen))

    assert_problem(unknown, 503, "keys-away")
    assert me(errand, seen).json()["user_id"] == carol.id
    assert me(errand, unseen).json()["user_id"] == dave.id


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_page_calls_errand_with_the_code_of_the_page(
    compiled: Path, site: Site, alice: Member, errand: str, page: Page
) -> None:
    code = (compiled / "page.js").read_text()
    [(name, value)] = alice.cookies.items()
    # Next.js puts public settings in the place of these.
    environment = {"env": {"NEXT_PUBLIC_ERRAND_URL": errand}}
    page.opens(site.url)
    assert page.sees(f"location.origin === {site.url!r} && document.title")
    page.evaluates(f"document.cookie = {f'{name}={value}; path=/'!r}")
    page.evaluates(f"globalThis.process = {json.dumps(environment)}")
    module = f"data:text/javascript,{quote(code)}"
    tasks = page.evaluates(f"import({module!r}).then(page => page.tasks)")

    assert page.complaints == []
    assert [task["title"] for task in tasks] == ["Buy milk"]
    assert {task["user_id"] for task in tasks} == {alice.id}


def me(errand: str, token: str) -> httpx.Response:
    """The caller that Errand finds in a token."""
    return http.get(f"{errand}/api/me", headers=bearer(token), timeout=30)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of_another_key(member: Member, old: str) -> str:
    """The first one after Better Auth has changed its key."""
    deadline = time.monotonic() + 30
    while key_of(new := member.token()) == key_of(old):
        assert time.monotonic() < deadline, "the key has not changed"
        time.sleep(0.2)
    return new


def key_of(token: str) -> str:
    name: str = jwt.get_unverified_header(token)["kid"]
    return name


def signed_with_another_key(token: str) -> str:
    """A token with the same claims, signed with an unknown key."""
    key = SigningKey("EdDSA", new_private("EdDSA"))
    claims = jwt.decode(token, options={"verify_signature": False})
    return key.sign({"alg": "EdDSA", "kid": key.kid}, claims)
