"""The files that missing operations need: they are made or appended to, and never changed."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from db.postgres.schema_version import NEWEST
from openapi.contract.document import Contract
from openapi.stubs import models, tests
from openapi.stubs.handlers import handler_of, imports_of
from openapi.stubs.layout import flat, import_line, module
from openapi.stubs.missing import (
    ROOT,
    Missing,
    NoStub,
    file_of,
    missing_operations,
    names_in,
    operations_of,
)

OF_TESTS = "tests/api"
OF_MIGRATIONS = "db/migrations/versions"


class File(NamedTuple):
    """A file in the project, and the text that it gets."""

    path: str
    text: str
    is_new: bool = True

    @property
    def title(self) -> str:
        """The path, and what happens to the file."""
        return f"{self.path} ({'new' if self.is_new else 'at the end'})"


def files_of(contract: Contract, ids: Collection[str] = ()) -> list[File]:
    """The files of all operations that nothing implements, or of those that are named."""
    missing = missing_operations(contract, ids)
    by_module: dict[str, list[Missing]] = {}
    for operation in missing:
        by_module.setdefault(operation.module, []).append(operation)
    others = list(operations_of(contract))
    files = [_file_of_handlers(each) for each in by_module.values()]
    for operations in by_module.values():
        files += _files_of_tests(operations, others)
    files += _files_of_resources(missing)
    for file in files:
        if file.is_new and (ROOT / file.path).exists():
            raise NoStub(f"{file.path} is there already, and is not changed")
    return files


def write(files: list[File]) -> None:
    """Make the new files, and append to the others."""
    if not (ROOT / "pyproject.toml").exists():
        raise NoStub(f"{ROOT} is no clone of the project: without --write the code is printed")
    for file in files:
        with (ROOT / file.path).open("x" if file.is_new else "a", encoding="utf-8") as opened:
            opened.write(file.text)


def new_modules(files: list[File]) -> list[str]:
    """The names of the new modules of handlers."""
    paths = [Path(file.path) for file in files if file.is_new]
    return [path.stem for path in paths if path.parts[0] == "handlers"]


def _file_of_handlers(operations: list[Missing]) -> File:
    handlers = [handler_of(each) for each in operations]
    path, name = file_of(operations[0]), operations[0].module
    needs = set().union(*(each.needs for each in handlers))
    if not (ROOT / path).exists():
        docstring = f"{_title(name)}: one function for each operation of the contract."
        texts = [each.text for each in handlers]
        return File(path, module(docstring, imports_of(needs), texts))
    if lacking := imports_of(needs - names_in(ROOT / path)):
        lines = "; ".join(flat(import_line(source, lacking[source])) for source in sorted(lacking))
        raise NoStub(f"{path} lacks what the handler needs, and is only appended to: add {lines}")
    return File(path, "".join(f"\n\n{each.text}" for each in handlers), is_new=False)


def _files_of_tests(operations: list[Missing], others: list[Missing]) -> Iterator[File]:
    """One file for a new module; where there are tests already, one for each operation."""
    name = operations[0].module
    whole = f"{OF_TESTS}/test_{name}.py"
    if not (ROOT / whole).exists():
        yield _file_of_tests(whole, _title(name), operations, others)
        return
    for operation in operations:
        path = f"{OF_TESTS}/test_{operation.id}.py"
        yield _file_of_tests(path, _title(operation.id), [operation], others)


def _file_of_tests(path: str, title: str, operations: list[Missing], others: list[Missing]) -> File:
    texts = [tests.test_of(each, others) for each in operations]
    used = "".join(texts)
    imports = {
        source: {name for name in names if name in used} for source, names in tests.IMPORTS.items()
    }
    named = {source: names for source, names in imports.items() if names}
    return File(path, module(f"{title}, over HTTP.", named, texts))


def _files_of_resources(operations: list[Missing]) -> Iterator[File]:
    for number, resource in enumerate(models.new_resources(operations), int(NEWEST) + 1):
        yield File(f"{models.OF_MODELS}/{resource.table}.py", models.model_of(resource))
        path = f"{OF_MIGRATIONS}/{number:04}_{resource.table}.py"
        yield File(path, models.migration_of(resource, number))


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
