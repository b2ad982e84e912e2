"""The command line as a user can paste it: `errand` need not be on PATH."""

import shlex
import shutil
import sys
from pathlib import Path


def invocation() -> str:
    """What to type for `errand`, in any folder."""
    program = Path(sys.argv[0])
    found = shutil.which(program.name)
    if found and program.exists() and Path(found).samefile(program):
        return program.name
    if program.is_file() and program.name != "__main__.py":
        return shlex.quote(str(program.absolute()))
    return f"{shlex.quote(sys.executable)} -m openapi"


def pasteable(text: str) -> str:
    """The text, its commands as this user can run them."""
    return text.replace("`errand ", f"`{invocation()} ")
