"""The pictures of the pages are current: `python -m tests.pictures NAME` makes one again."""

from tests.pictures.imports import drawn_imports
from tests.pictures.session import SCENES, SERVE
from tests.pictures.swagger_ui import summaries
from tests.support.project import README, ROOT

PICTURES = ROOT / "tests" / "pictures"


def test_the_picture_of_the_imports_is_current() -> None:
    assert (PICTURES / "imports.svg").read_text() == drawn_imports()


def test_the_picture_of_swagger_ui_shows_the_operations_of_the_contract() -> None:
    assert "\n".join(summaries()).encode() in (PICTURES / "swagger-ui.png").read_bytes()


def test_the_recording_starts_the_server_as_the_readme_does() -> None:
    assert SERVE in README.read_text()
    assert all(comment in (PICTURES / "session.svg").read_text() for comment in SCENES)
