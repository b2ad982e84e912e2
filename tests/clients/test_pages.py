"""How the pages look in a real browser: dark and light, on a desk and on a phone."""

import pytest

from tests.support.browser import CHROMIUM, Page
from tests.support.issuer import Issuer
from tests.support.project import ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

TEXTS_WITHOUT_CONTRAST = (ROOT / "tests" / "support" / "contrast.js").read_text()
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PHONE, DESK = 390, 1280
OPENED = ["Tasks-patch_task", "Changes-list_changes"]

in_both_modes = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
on_both_devices = pytest.mark.parametrize("width", [PHONE, DESK], ids=["phone", "desk"])


@pytest.mark.long
@in_both_modes
def test_swagger_ui_can_be_read(guarded_server: str, page: Page, dark: bool) -> None:
    page.shows_as(dark=dark, width=PHONE)
    page.opens(f"{guarded_server}/docs")
    for operation in OPENED:
        page.clicks(f"#operations-{operation} .opblock-summary-control")
        assert page.sees(f"document.querySelector('#operations-{operation} .responses-table')")

    assert page.evaluates("document.documentElement.matches('.dark-mode')") is dark
    for width in (PHONE, DESK):
        page.shows_as(dark=dark, width=width)
        assert page.evaluates(TEXTS_WITHOUT_CONTRAST) == []
        assert page.evaluates(OVERFLOW) == 0
    assert page.complaints == []


@in_both_modes
@on_both_devices
def test_the_page_of_problems_can_be_read(server: str, page: Page, dark: bool, width: int) -> None:
    page.shows_as(dark=dark, width=width)
    page.opens(f"{server}/problems#id-taken")
    assert page.sees("document.readyState === 'complete'")

    assert page.evaluates(TEXTS_WITHOUT_CONTRAST) == []
    assert page.evaluates(OVERFLOW) == 0
    assert "`" not in page.evaluates("document.body.innerText")
    assert page.complaints == []


@pytest.mark.long
def test_swagger_ui_shows_the_parameters_of_the_path_first(server: str, page: Page) -> None:
    page.opens(f"{server}/docs")
    page.clicks("#operations-Tasks-patch_task .opblock-summary-control")
    assert page.sees("document.querySelector('.parameters')")

    names = page.evaluates(
        "[...document.querySelectorAll('tr[data-param-name]')].map(row => row.dataset.paramName)"
    )

    assert names == ["user_id", "task_id", "Idempotency-Key", "If-Match"]


def test_swagger_ui_keeps_the_token_when_the_page_is_loaded_again(
    guarded_server: str, issuer: Issuer, page: Page
) -> None:
    page.opens(f"{guarded_server}/docs")
    page.clicks(".btn.authorize")
    page.types(".auth-container input", issuer.token("alice"))
    page.clicks(".auth-btn-wrapper .authorize")
    assert page.sees("localStorage.getItem('authorized')")

    page.opens(f"{guarded_server}/docs?again")

    assert page.sees("document.querySelector('.btn.authorize.locked')")
