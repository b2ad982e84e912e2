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
    READER,
    READERS_TASKS,
    TASKS_A_WRITER,
    TITLE,
    owner_id,
    task_id,
)

BODY = json.dumps({"title": TITLE, "description": DESCRIPTION})
SPREAD = 5_000

# A function that makes an id, in its place, would keep the statement from looking by its index.
ANY_NEW = f"\\set new random({LAST + 1}, 999999999999)\n"
ANY_OF_READER = f"\\set task random({FIRST}, {FIRST + READERS_TASKS - 1})\n\\set user {FIRST}\n"
ANY_OF_WRITERS = (
    f"\\set task random({FIRST + READERS_TASKS}, {LAST})\n"
    f"\\set user {FIRST} + 1 + (:task - {FIRST + READERS_TASKS}) / {TASKS_A_WRITER}\n"
)
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
    """Requests of one kind, for one of the reader's tasks each or for one of any other user's."""

    name: str
    method: str
    path: str
    statement: Statement
    of_reader: bool
    writes: bool = False
    body: str = ""

    def requests(self) -> Iterator[Request]:
        """Each of them, in the same random order for every peer."""
        first, last = (0, READERS_TASKS - 1) if self.of_reader else (READERS_TASKS, LAST - FIRST)
        random = Random(self.name)
        for _ in range(SPREAD):
            number = random.randint(first, last)
            user = owner_id(number)
            path = self.path.format(user=user, task=task_id(number))
            yield Request(self.method, path, user, self.body)

    def pgbench_script(self) -> str:
        """Errand's statement with pgbench's variables."""
        values = dict(VALUES)
        chosen = ANY_OF_READER if self.of_reader else ANY_OF_WRITERS
        # pgbench takes what follows a colon for a variable even within quotes
        quoted = re.sub(r"'[^']*'", escaped_colons, self.statement.bare)
        sql = re.sub(r"%\((\w+)\)s", lambda place: values[place[1]], quoted)
        return f"{chosen}{ANY_NEW}{sql.replace('%%', '%')};\n"


def escaped_colons(quoted: re.Match[str]) -> str:
    return "E" + quoted[0].replace(":", r"\x3A")


_TASKS = "/api/{user}/tasks"
_TASK = _TASKS + "/{task}"
_TOGGLE = _TASK + "/complete"

WORKLOADS = {
    each.name: each
    for each in (
        Workload("get", "GET", _TASK, statements.GET, of_reader=True),
        Workload("list", "GET", _TASKS, LIST, of_reader=True),
        Workload("create", "POST", _TASKS, creating.CREATE_BRIEF, False, True, BODY),
        Workload("toggle", "PATCH", _TOGGLE, statements.TOGGLE, False, True),
        # Errand locks the user's row for each write: the worst case is one user who writes alone.
        Workload("create-one-user", "POST", _TASKS, creating.CREATE_BRIEF, True, True, BODY),
        Workload("toggle-one-user", "PATCH", _TOGGLE, statements.TOGGLE, True, True),
    )
}
USUAL = ("get", "list", "create", "toggle")
USUAL_CLIENTS = 32

LIST_PATH = _TASKS.format(user=READER)
