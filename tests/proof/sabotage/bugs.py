"""What a planted bug is, and how code and statements are changed before a server starts."""

from collections.abc import Callable
from typing import Any, NamedTuple

from db.postgres.statement import Statement


class Bug(NamedTuple):
    """A bug by a sentence that says what the server does wrong."""

    name: str
    plant: Callable[[], None]
    """Changes the program, in the process that is to serve."""

    servers: int = 1
    with_tokens: bool = False
    sql: str = ""
    """What an administrator has done to the database."""


def replaced(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Replace a function or a method by one that is made of it."""
    setattr(owner, name, made(getattr(owner, name)))


def rewritten(statement: Statement, old: str, new: str) -> None:
    """Replace a part of the statement's SQL, wherever it stands."""
    compiled = statement._compiled
    assert old in compiled.string, f"{statement.name} has no {old}"
    compiled.string = compiled.string.replace(old, new)
