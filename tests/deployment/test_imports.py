"""What a server imports at its start."""

import subprocess
import sys

import pytest

IMPORT = """
import sys
import openapi.server.run
print(*(name for name, module in sys.modules.items() if module is None), sep=",")
print(*sys.modules, sep=",")
"""


@pytest.fixture(scope="module")
def imported() -> tuple[list[str], list[str]]:
    """The packages that nothing can import any more, and all modules that are imported."""
    printed = subprocess.check_output([sys.executable, "-c", IMPORT], text=True)
    hindered, modules = printed.splitlines()
    return [each for each in hindered.split(",") if each], modules.split(",")


@pytest.mark.long
def test_a_server_leaves_every_other_package_importable(
    imported: tuple[list[str], list[str]],
) -> None:
    hindered, _ = imported

    assert not hindered


def test_a_server_without_metrics_and_tracing_does_not_import_their_libraries(
    imported: tuple[list[str], list[str]],
) -> None:
    _, modules = imported

    assert "openapi.server.run" in modules
    assert not {"prometheus_client", "opentelemetry", "fastmcp"} & {*modules}
