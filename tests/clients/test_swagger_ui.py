"""Swagger UI in a real browser that reaches nothing but this server."""

import json
from uuid import uuid4

import pytest

from tests.support.browser import CHROMIUM, Page
from tests.support.contract import DOCUMENT, METHODS
from tests.support.issuer import Issuer
from tests.support.project import ROOT
from tests.support.swagger_ui import SwaggerUi

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

OPERATIONS = {
    item[method]["operationId"]
    for item in DOCUMENT["paths"].values()
    for method in METHODS & item.keys()
}
# In this order each finds what it needs.
WITH_A_TASK = {
    "get_task": 200,
    "update_task": 200,
    "patch_task": 200,
    "toggle_task": 200,
    "move_task": 200,
    "skip_task": 200,
    "list_occurrences": 200,
    "delete_task": 204,
    "restore_task": 200,
}
WITH_A_LIST = {"get_list": 200, "patch_list": 200, "delete_list": 204, "restore_list": 200}
WITH_A_CALENDAR = {"show_calendar": 200}
OF_EACH_METHOD = ("list_tasks", "create_task", "update_task", "patch_task", "delete_task")
WITH_A_USER = {
    "get_calendar": 200,
    "delete_calendar": 204,
    "list_tasks": 200,
    "export_tasks": 200,
    "import_tasks": 200,
    "list_lists": 200,
    "batch_tasks": 200,
    "clear_completed": 200,
    "list_trash": 200,
    "list_tags": 200,
    "list_reminders": 200,
    "get_summary": 200,
    "list_changes": 200,
    "erase_user": 204,
}
WITH_NOTHING = {"get_liveness": 200, "get_readiness": 200}

TEXTS_WITHOUT_CONTRAST = (ROOT / "tests" / "support" / "contrast.js").read_text()
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
REQUESTS = "performance.getEntriesByType('resource').map(({name}) => name)"
COVERED = """
[...document.querySelectorAll('.copy-to-clipboard, .download-contents')].filter(button => {
  const code = button.parentElement.querySelector('code');
  return code && code.getBoundingClientRect().bottom > button.getBoundingClientRect().top;
}).length
"""
PHONE, DESK = 390, 1280


def test_swagger_ui_shows_every_operation_without_another_server(server: str, page: Page) -> None:
    SwaggerUi.at(server, page)

    for operation in OPERATIONS:
        assert page.sees(f"document.querySelector(`[id$='-{operation}']`)"), operation
    assert page.complaints == []


@pytest.mark.long
def test_swagger_ui_tries_operations_out(server: str, page: Page) -> None:
    ui = SwaggerUi.at(server, page)
    ui.expands("create_task", "list_tasks", "get_readiness")

    created = ui.tries("create_task")

    assert created.status == 201
    assert json.loads(created.body)["title"] == "Buy milk"
    assert ui.tries("list_tasks").status == 200
    assert json.loads(ui.tries("get_readiness").body)["status"] == "ok"
    assert page.complaints == []


@pytest.mark.long
def test_swagger_ui_does_all_operations_and_can_be_read_in_both_modes_on_both_devices(
    guarded_server: str, issuer: Issuer, page: Page
) -> None:
    ui = SwaggerUi.at(guarded_server, page)
    ui.authorizes(issuer.token(str(uuid4())))

    user = json.loads(ui.does("get_me").body)["user_id"]
    task = json.loads(ui.does("create_task", user_id=user).body)["id"]
    found = json.loads(ui.does("create_list", user_id=user).body)["id"]
    calendar = json.loads(ui.does("create_calendar", user_id=user).body)["path"]
    file = calendar.rpartition("/")[2]
    statuses = {
        **{each: ui.does(each, user_id=user, task_id=task).status for each in WITH_A_TASK},
        **{each: ui.does(each, user_id=user, list_id=found).status for each in WITH_A_LIST},
        **{each: ui.does(each, file=file).status for each in WITH_A_CALENDAR},
        **{each: ui.does(each, user_id=user).status for each in WITH_A_USER},
        **{each: ui.does(each).status for each in WITH_NOTHING},
    }

    alone = WITH_A_CALENDAR | WITH_NOTHING
    assert statuses == {**WITH_A_TASK, **WITH_A_LIST, **WITH_A_USER, **alone}
    others = {"get_me", "create_task", "create_list", "create_calendar"}
    assert statuses.keys() | others | {"stream_changes"} == OPERATIONS  # a stream has no end
    assert page.complaints == []
    assert not [url for url in page.evaluates(REQUESTS) if not url.startswith(guarded_server)]
    ui.expands(*OF_EACH_METHOD)
    for dark in (False, True):
        for width in (PHONE, DESK):
            page.shows_as(dark=dark, width=width)
            assert page.sees("!document.getAnimations().length")
            assert page.evaluates(TEXTS_WITHOUT_CONTRAST) == []
            assert page.evaluates(OVERFLOW) == 0


@pytest.mark.long
def test_swagger_ui_shows_every_schema_readably(server: str, page: Page) -> None:
    SwaggerUi.at(server, page)
    page.clicks(".models .models-control")
    assert page.sees("document.querySelector('.models .model-box-control')")
    page.evaluates("document.querySelectorAll('.model-box-control').forEach(each => each.click())")
    assert page.sees("document.querySelector('.models .star')")

    for dark in (False, True):
        page.shows_as(dark=dark, width=PHONE)
        assert page.sees("!document.getAnimations().length")
        assert page.evaluates(TEXTS_WITHOUT_CONTRAST) == []
        assert page.evaluates(OVERFLOW) == 0
    frames = "[...document.querySelectorAll('.models .model-container')]"
    assert page.evaluates(f"{frames}.filter(each => each.scrollWidth > each.clientWidth)") == []


@pytest.mark.long
def test_swagger_ui_shows_an_error_readably(server: str, page: Page) -> None:
    page.shows_as(dark=True, width=PHONE)
    ui = SwaggerUi.at(server, page)
    ui.expands("get_task")
    task = str(uuid4())

    shown = ui.tries("get_task", task_id=task)

    assert shown.status == 404
    assert json.loads(shown.body)["detail"] == f"This user has no task {task}."
    assert page.evaluates(TEXTS_WITHOUT_CONTRAST) == []
    assert page.evaluates(OVERFLOW) == 0
    assert page.evaluates(COVERED) == 0
    # The browser's own line about the status.
    assert [each["entry"]["source"] for each in page.complaints] == ["network"]
