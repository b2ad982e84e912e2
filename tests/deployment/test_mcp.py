"""Tools for agents, as an operator switches them on: the setting, its library, the command."""

import re
import sys

import httpx
import pytest

from openapi.command_line import main
from tests.support.cases import for_each
from tests.support.responses import assert_problem
from tests.support.servers import completed, errand


def test_without_the_setting_there_is_no_endpoint(server: str) -> None:
    assert_problem(httpx.post(f"{server}/mcp", json={}), 404, "unknown-path")


def print_whether_imported() -> None:
    print("fastmcp" in sys.modules)


def test_without_the_setting_its_library_is_not_imported() -> None:
    # Such a process has imported the server.
    assert completed(print_whether_imported).stdout == "False\n"


def run_without_library() -> None:
    sys.modules["fastmcp"] = None  # type: ignore[assignment]
    main()


@for_each("command", ["serve", "mcp"])
def test_missing_library_is_one_sentence(command: str) -> None:
    ended = completed(run_without_library, command, ERRAND_MCP="on")

    assert ended.returncode == 1
    assert re.match(r"Error: (ERRAND_MCP|`errand mcp`) needs packages", ended.stderr)
    assert len(ended.stderr.splitlines()) == 1
    assert "pip install 'errand[mcp]'" in ended.stderr


@pytest.mark.long
def test_server_that_gives_no_tools_is_one_sentence(guarded_server: str) -> None:
    for server, reason in (
        (guarded_server, "unauthenticated"),
        ("http://127.0.0.1:1", "does not answer"),
    ):
        ended = errand("mcp", "--url", server)

        assert ended.returncode == 1
        assert ended.stderr.startswith(f"Error: {server}")
        assert reason in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
