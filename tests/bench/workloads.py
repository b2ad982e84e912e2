"""What is asked of every peer: as HTTP requests for wrk, and as the same SQL for pgbench."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from db.postgres.statement import Statement
from db.quotas import MAX_TASKS
from db.schema.fields import DEFAULTS
from db.tasks import creating, statements
from db.tasks.list_statements import LIST
from tests.bench.data import (
    DESCRIPTION,
    FIRST,
    LAST,
    PLAIN_OF_WRITERS,
    READER,
    READERS,
    READERS_TASKS,
    RICH_OF_WRITERS,
    TASKS_A_WRITER,
    TITLE,
    owner_id,
    task_id,
)

BODY = json.dumps({"title": TITLE, "description": DESCRIPTION})
SPREAD = 5_000

# A function that makes an id, in its place, would keep the statement from looking by its index.
ANY_NEW = f"\\set new random({LAST + 1}, 999999999999)\n"
VALUES = {
    **{name: "NULL" if value is None else f"'{value}'" for name, value in DEFAULTS.items()},
    "user_id": "(:user_prefix::text || :user)",
    "task_id": "(:task_prefix::text || :task)",
    "id": "(:task_prefix::text || :new)",
    "title": f"'{TITLE}'",
    "description": f"'{DESCRIPTION}'",
    "limit": "51",
    "expected": "NULL",
    "max_tasks": str(MAX_TASKS),
}


class Request(NamedTuple):
    """What is sent, and whose tasks it is about."""

    method: str
    path: str
    user: str
    body: str = ""


@dataclass(frozen=True)
class Workload:
    """Requests of one kind, each for one of the tasks with these numbers."""

    name: str
    method: str
    path: str
    statement: Statement
    numbers: range
    writes: bool = False
    body: str = ""

    def requests(self) -> Iterator[Request]:
        """Each of them, in the same random order for every peer."""
        random = Random(self.name)
        for _ in range(SPREAD):
            number = random.choice(self.numbers)
            user = owner_id(number)
            path = self.path.format(user=user, task=task_id(number))
            yield Request(self.method, path, user, self.body)

    def pgbench_script(self) -> str:
        """Errand's statement with pgbench's variables."""
        values = dict(VALUES)
        # pgbench takes what follows a colon for a variable even within quotes
        quoted = re.sub(r"'[^']*'", escaped_colons, self.statement.bare)
        sql = re.sub(r"%\((\w+)\)s", lambda place: values[place[1]], quoted)
        return f"{self._chosen}{ANY_NEW}{sql.replace('%%', '%')};\n"

    @property
    def _chosen(self) -> str:
        """pgbench's variables: one of the tasks, and its user."""
        owner = f"{FIRST} + 1 + (:task - {FIRST + READERS_TASKS}) / {TASKS_A_WRITER}"
        return (
            f"\\set task random({FIRST + self.numbers[0]}, {FIRST + self.numbers[-1]})\n"
            f"\\set user {FIRST if self.numbers == READERS else owner}\n"
        )


def escaped_colons(quoted: re.Match[str]) -> str:
    return "E" + quoted[0].replace(":", r"\x3A")


_TASKS = "/api/{user}/tasks"
_TASK = _TASKS + "/{task}"
_TOGGLE = _TASK + "/complete"

WORKLOADS = {
    each.name: each
    for each in (
        Workload("get", "GET", _TASK, statements.GET, READERS),
        Workload("list", "GET", _TASKS, LIST, READERS),
        Workload("create", "POST", _TASKS, creating.CREATE_BRIEF, PLAIN_OF_WRITERS, True, BODY),
        Workload("toggle", "PATCH", _TOGGLE, statements.TOGGLE, PLAIN_OF_WRITERS, True),
        # The peers' tasks have no more fields, so theirs are plain.
        Workload("toggle-rich", "PATCH", _TOGGLE, statements.TOGGLE, RICH_OF_WRITERS, True),
        # Errand locks the user's row for each write: the worst case is one user who writes alone.
        Workload("create-one-user", "POST", _TASKS, creating.CREATE_BRIEF, READERS, True, BODY),
        Workload("toggle-one-user", "PATCH", _TOGGLE, statements.TOGGLE, READERS, True),
    )
}
USUAL = ("get", "list", "create", "toggle")
USUAL_CLIENTS = 32

LIST_PATH = _TASKS.format(user=READER)
