"""A stock Prism mock of the served contract responds as the server would."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from openapi.http.problems import KINDS
from tests.support import http
from tests.support.operations import JSON, OPERATIONS, Operation, assert_as_described
from tests.support.polling import eventually
from tests.support.programs import install_node_packages
from tests.support.project import ROOT

PACKAGES = ROOT / "tests" / "clients" / "mock" / "package.json"
LISTENING = re.compile(r"listening on (http://\S+)")
IDS = {
    "user_id": "0190a1b2-0000-7000-8000-00000000a11c",
    "task_id": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
    "list_id": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c",
    "file": f"{'x' * 43}.ics",
}
AUTHORIZED = {"Authorization": "Bearer token"}

pytestmark = pytest.mark.long

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@pytest.fixture(scope="module")
def mock(guarded_server: str) -> Iterator[str]:
    """The URL of Prism, which has the contract of a server that asks for tokens."""
    with tempfile.TemporaryDirectory(prefix="errand-") as name:
        folder = Path(name)
        shutil.copy(PACKAGES, folder)
        install_node_packages(folder, "@stoplight/prism-cli")
        (folder / "openapi.json").write_bytes(http.get(f"{guarded_server}/openapi.json").content)
        log = folder / "prism.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [folder / "node_modules" / ".bin" / "prism", "mock", "--port=0", "openapi.json"],
                cwd=folder,
                stdout=output,
                stderr=output,
            )
        try:
            assert eventually(lambda: bool(LISTENING.search(log.read_text())), 60), log.read_text()
            yield LISTENING.findall(log.read_text())[0]
        finally:
            process.terminate()
            process.wait(timeout=20)


def ask(mock: str, operation: Operation, **headers: str) -> httpx.Response:
    """Send a valid request of that operation."""
    url = mock + operation.path.format(**IDS) + operation.required_query
    return http.request(operation.method, url, headers=headers, json=operation.example())


@every_operation
def test_a_mock_has_the_right_example_of_every_status(mock: str, operation: Operation) -> None:
    is_stream = operation.id in ("stream_changes", "export_tasks")
    without_example = {"200"} if is_stream else set()
    for status in operation.responses.keys() - {"428"} - without_example:
        response = ask(mock, operation, Prefer=f"code={status}", **AUTHORIZED)

        assert response.status_code == int(status)
        del response.headers["access-control-allow-origin"]  # Prism's own, for any page
        assert_as_described(response, operation)
        if response.is_error:
            kinds = {f"/problems#{kind.name}" for kind in KINDS if kind.status == int(status)}
            assert response.json()["type"] in kinds
            assert response.json()["status"] == int(status)


@every_operation
def test_a_mock_refuses_a_request_without_a_token_as_the_server_does(
    mock: str, operation: Operation
) -> None:
    response = ask(mock, operation)

    if "401" in operation.responses:
        assert response.status_code == 401
        assert response.json()["type"] == "/problems#unauthenticated"
    else:
        assert response.status_code == 200


@pytest.mark.parametrize("operation", [each for each in OPERATIONS.values() if each.body])
def test_a_mock_refuses_an_invalid_body_as_the_server_does(mock: str, operation: Operation) -> None:
    url = mock + operation.path.format(**IDS) + operation.required_query

    response = http.request(operation.method, url, headers=AUTHORIZED, json={"colour": 1})

    assert response.status_code == 422
    assert response.json()["type"] == "/problems#invalid-request"
    assert response.headers["content-type"] != JSON
