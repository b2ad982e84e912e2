"""The recording of a terminal shows what the commands print today."""

import re
import shutil
from html import unescape

import pytest

from tests.pictures.session import drawn_session, recorded
from tests.support.project import ROOT

# Ids of requests, tokens, positions, digests, times and revisions.
CHANGING = re.compile(
    r'"(?:next|position|request_id)":"[^"]+"|"digest":\d+|"\d{4}-[^"]+Z"|\b\d{16}\b',
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("curl"), reason="the recording needs curl"),
]


def test_the_recording_shows_what_the_commands_print() -> None:
    committed = (ROOT / "tests" / "pictures" / "session.svg").read_text()

    assert printed(committed) == printed(drawn_session(recorded()))


def printed(recording: str) -> str:
    """The texts of a recording, without what changes from run to run."""
    texts = "".join(re.findall(r"<text[^>]+>(.+?)</text>", recording))
    return CHANGING.sub("…", unescape(texts))
