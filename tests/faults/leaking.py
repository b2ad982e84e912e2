"""`errand`, but each creation of a task keeps some memory and a descriptor for ever."""

import os
from typing import Any

from db.tasks import writes
from openapi.command_line import main

KEPT_BYTES = 2**20


def plant() -> None:
    """Plant the leak."""
    kept = []
    create = writes.create

    async def leaking(*arguments: Any, **options: Any) -> Any:
        kept.append((os.urandom(KEPT_BYTES), os.open(os.devnull, os.O_RDONLY)))
        return await create(*arguments, **options)

    writes.create = leaking


if __name__ == "__main__":
    plant()
    main()
