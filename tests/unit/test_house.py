"""The rules of the source code that no linter checks."""

import ast
import re
from pathlib import Path

from tests.support.cases import for_each
from tests.support.project import ROOT, imported

PACKAGES = sorted(
    path.parent.relative_to(ROOT)
    for top in ("openapi", "handlers", "db", "tests")
    for path in (ROOT / top).rglob("__init__.py")
)
MODULES = sorted(
    path.relative_to(ROOT)
    for top in ("openapi", "handlers", "db")
    for path in (ROOT / top).rglob("*.py")
)
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
# Stand-ins for client, caller, server, connection; `nobody` in quotes is the system's account. The
# underscores of a name separate words.
VAGUE = re.compile(
    r"(?<![a-z`\"])(somebody|nobody|whoever|whom|told|said|come by|at large|at sea)(?![a-z])",
    re.IGNORECASE,
)
THIS = Path(__file__).name
TEST_MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))


@for_each("package", PACKAGES, ids=str)
def test_package_has_a_docstring_of_one_sentence(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))

    assert docstring
    assert docstring.count("\n") == 0
    assert docstring.count(". ") == 0
    assert docstring.endswith(".")


@for_each("module", MODULES, ids=str)
def test_module_has_fewer_than_300_lines(module: Path) -> None:
    assert len((ROOT / module).read_text().splitlines()) < 300


@for_each("module", [each for each in (*MODULES, *TESTS) if each.name != THIS], ids=str)
def test_module_names_clients_callers_and_servers_as_such(module: Path) -> None:
    assert not VAGUE.findall((ROOT / module).read_text())


@for_each("module", TEST_MODULES, ids=str)
def test_test_module_imports_no_test_module_and_no_conftest(module: Path) -> None:
    names = [name.rpartition(".")[2] for name in imported(ROOT / module)]

    assert not [name for name in names if name == "conftest" or name.startswith("test_")]


@for_each("module", TEST_MODULES, ids=str)
def test_test_module_imports_tests_from_support_or_its_own_folder(module: Path) -> None:
    folders = ("tests.support.", ".".join(module.parent.parts) + ".")
    names = [name for name in imported(ROOT / module) if name.split(".")[0] == "tests"]

    assert not [name for name in names if not name.startswith(folders)]


@for_each("module", sorted((ROOT / "tests" / "support").glob("*.py")), ids=lambda path: path.name)
def test_support_imports_tests_from_support_alone(module: Path) -> None:
    names = [name for name in imported(module) if name.split(".")[0] == "tests"]

    assert not [name for name in names if not name.startswith("tests.support.")]
