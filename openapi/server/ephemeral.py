"""A server whose data are gone when it stops."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from db.errors import EmbeddedPostgresError
from db.postgres.embedded import remove_abandoned
from openapi.settings import Settings, variable

PREFIX = "errand-ephemeral-"
REMOVAL_SECONDS, POLL_SECONDS = 10, 0.05


@contextmanager
def on_ephemeral_data(settings: Settings) -> Iterator[Settings]:
    """The same settings with an embedded database in a new private folder, removed at the end."""
    for abandoned in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            remove_abandoned(abandoned)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield settings.model_copy(update={"database_url": None, "data_dir": folder})
    except EmbeddedPostgresError as error:
        advice = str(error).replace(variable("data_dir"), "TMPDIR")
        raise EmbeddedPostgresError(advice) from error
    finally:
        # A second Ctrl-C would leave the rest of the data.
        for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, signal.SIG_IGN)
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove the folder; a PostgreSQL whose stop was interrupted may still write to it."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            time.sleep(POLL_SECONDS)
