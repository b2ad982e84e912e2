"""The clock of the server and of its PostgreSQL is set back and forth, under load."""

from pathlib import Path

import pytest

from tests.faults.load import under_load
from tests.support.folders import temporary_folder
from tests.support.servers import executed, url_of

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(LIBRARY is None, reason="there is no libfaketime here"),
]


def test_clock_that_is_set_back_and_forth() -> None:
    with temporary_folder() as folder:
        clock = folder / "clock"
        clock.write_text("+0")
        process = executed(
            LD_PRELOAD=str(LIBRARY),
            FAKETIME_TIMESTAMP_FILE=str(clock),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            ERRAND_DATA_DIR=str(folder / "data"),
            DATABASE_URL="",
        )
        url = url_of(process)
        with under_load(lambda: [url]) as load:
            for step in ("-1h", "+1h", "-2d", "+0"):
                clock.write_text(step)
                load.flows()
        process.terminate()
        process.communicate(timeout=30)
