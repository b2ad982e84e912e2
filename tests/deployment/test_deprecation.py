"""An operation that the contract deprecates says so in each of its responses."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from openapi.contract.document import CONTRACT
from openapi.contract.faults import UnusableContract
from openapi.operations.deprecation import deprecation_headers
from openapi.server.app import App
from openapi.settings import load_settings
from tests.support.forks import Fork
from tests.support.servers import url_of
from tests.support.streams.server import main
from tests.support.users import User

SUMMARY = "      summary: List tasks\n"
DAY = 24 * 60 * 60

Edit = Callable[..., Path]
Serve = Callable[[Path], str]


@pytest.fixture
def deprecating(tmp_path: Path) -> Edit:
    """The project's contract, with list_tasks deprecated by these lines."""

    def write(*lines: str) -> Path:
        added = "".join(f"      {line}\n" for line in lines)
        text = CONTRACT.read_text()
        assert text.count(SUMMARY) == 1
        path = tmp_path / "openapi.yaml"
        path.write_text(text.replace(SUMMARY, SUMMARY + added))
        return path

    return write


@pytest.fixture
def serve_contract(database_url: str) -> Iterator[Serve]:
    servers: list[Fork] = []

    def start(contract: Path) -> str:
        environment = {"DATABASE_URL": database_url, "CONTRACT": str(contract)}
        servers.append(Fork(main, environment=environment))
        return url_of(servers[-1])

    yield start
    for server in servers:
        server.terminate()
        server.communicate(timeout=20)


def test_responses_of_a_deprecated_operation_say_since_when_and_until_when(
    deprecating: Edit, serve_contract: Serve
) -> None:
    contract = deprecating(
        "deprecated: true", "x-deprecated-at: 2026-01-31", "x-sunset-at: 2027-06-30"
    )

    with User(serve_contract(contract)) as user:
        listed, refused = user.get(user.tasks), user.get(f"{user.tasks}?limit=0")
        created = user.post(user.tasks, json={"title": "Buy milk"})

    assert (listed.status_code, refused.status_code) == (200, 422)
    for response in (listed, refused):
        assert response.headers["deprecation"] == "@1769817600"
        assert response.headers["sunset"] == "Wed, 30 Jun 2027 00:00:00 GMT"
    assert {"deprecation", "sunset"}.isdisjoint(created.headers)


def test_without_dates_the_file_of_the_contract_gives_them(
    deprecating: Edit, serve_contract: Serve
) -> None:
    contract = deprecating("deprecated: true")
    changed_at = int(contract.stat().st_mtime)

    with User(serve_contract(contract)) as user:
        listed: httpx.Response = user.get(user.tasks)

    assert listed.headers["deprecation"] == f"@{changed_at}"
    assert parsedate_to_datetime(listed.headers["sunset"]).timestamp() == changed_at + 180 * DAY


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x-sunset-at: 9999-12-31\n      x-deprecated-at: yesterday", "x-deprecated-at is a date"),
        ("x-deprecated-at: soon", "x-deprecated-at is a date, such as 2027-01-31"),
        (
            "x-sunset-at: 2001-01-31\n      x-deprecated-at: 2001-02-01",
            "x-sunset-at is before x-deprecated-at",
        ),
    ],
)
def test_a_contract_with_wrong_dates_is_refused(deprecating: Edit, line: str, reason: str) -> None:
    contract = deprecating("deprecated: true", line)

    with pytest.raises(UnusableContract, match=reason):
        App(load_settings(database_url="postgresql:///nowhere"), contract)


def test_a_contract_that_was_copied_after_the_sunset_can_still_be_served() -> None:
    definition = {"deprecated": True, "x-sunset-at": "2001-01-31"}

    headers = dict(deprecation_headers(definition, (), contract_changed_at=datetime.now(UTC)))

    assert headers[b"sunset"] == b"Wed, 31 Jan 2001 00:00:00 GMT"
    assert headers[b"deprecation"] == b"@980899200"  # the same day
