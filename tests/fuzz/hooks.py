"""What Schemathesis needs to know of requests beyond the contract.

Both ways of running it load this file, as schemathesis.toml says.
"""

import json
import os
import re
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import schemathesis
from requests.utils import parse_header_links
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import use_after_free

from db.caseless import folded
from tests.support.contract import DOCUMENT
from tests.support.operations import JSON, OPERATIONS

LONGEST_WAIT = 9
TOKENS = {
    "list_changes": "since",
    **dict.fromkeys(("list_tasks", "list_trash", "list_reminders"), "cursor"),
}
FREE = {"limit", "wait"}
REFERENCES = {"list_id", "parent_id", "recurrence"}

KEY = "Idempotency-Key"
VALID_KEY = re.compile(DOCUMENT["components"]["parameters"]["IdempotencyKey"]["schema"]["pattern"])

# By operation, users and the queries that the server itself has made, the latest last.
given: dict[str, list[tuple[str, dict[str, str]]]] = {name: [] for name in TOKENS}

# The ids of the users with tokens, by their names; in open mode there are none.
users: dict[str, str] = json.loads(os.environ.get("FUZZED_AS", "{}"))
tokens: set[str] = set(json.loads(os.environ.get("FUZZED_WITH", "[]")))

# By user, the tasks that were created, the latest last; the quick tests see to that by themselves.
made: dict[str, list[str]] = {}
remembers_tasks = "FUZZED_AS" in os.environ


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Use the sender's own id, no long waits, and tokens that the server has made."""
    ask_about_oneself(case)
    bring_a_fresh_key(case)
    if operation_id(case) == "import_tasks" and case.media_type != JSON:
        # Schemathesis knows no schema of lines: tests/api/test_import.py has such files.
        case.media_type, case.body = JSON, OPERATIONS["import_tasks"].example()
    if is_valid(case):
        keep_valid(case)
        name_a_task_that_is_there(case)
    else:
        send_every_parameter(case)
    wait = str(case.query.get("wait"))
    if wait.isdecimal() and int(wait) <= LONGEST_WAIT:
        case.query["wait"] = 0
    token = TOKENS.get(operation_id(case))
    if token in case.query and is_valid(case):
        bring_a_real(token, case)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remember the tokens and the tasks of a response."""
    if operation_id(case) == "create_task" and response.status_code == 201:
        task = response.json()
        made.setdefault(task["user_id"], []).append(task["id"])
    if response.status_code != 200 or operation_id(case) not in TOKENS:
        return
    user = str(case.path_parameters["user_id"])
    if operation_id(case) == "list_changes":
        given["list_changes"].append((user, {"since": response.json()["next"]}))
        return
    for link in parse_header_links(response.headers["link"][0]):
        remember_link(operation_id(case), user, link["url"])


def remember_link(operation: str, user: str, url: str) -> None:
    """The query of a link from one page of a list to another."""
    query = dict(parse_qsl(urlsplit(url).query))
    if "cursor" in query:
        given[operation].append((user, query))


def keep_valid(case: Case[Any]) -> None:
    """Make a valid case valid: with conditions that hold, and words for an order by relevance."""
    if operation_id(case) == "import_tasks":  # a parent is on another line: no schema says that
        case.body = OPERATIONS["import_tasks"].example()
    name_what_is_missing(case)
    headers = case.meta and case.meta.components.get(ParameterLocation.HEADER)
    if headers and headers.mode is GenerationMode.NEGATIVE:
        # Where it finds no valid value of a header, it takes an invalid one for the valid cases.
        for name in case.headers.keys() - {"Authorization"}:
            del case.headers[name]
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if "If-None-Match" in case.headers and case.method == "GET":
        case.headers["If-None-Match"] = '"1"'
    if str(case.query.get("sort")).endswith("relevance"):
        case.query.setdefault("q", "x")
    if isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = str(uuid4())
    keep_tags_apart(case.body)
    if "zone" in case.query:  # to Schemathesis, every text of the pattern is one
        case.query["zone"] = "Europe/Berlin"
    if isinstance(case.body, dict):
        drop_references(case.body)
        for side in ("before", "after"):
            case.body.pop(side, None)
    if operation_id(case) == "batch_tasks" and isinstance(case.body, dict):
        keep_batch_valid(case.body)


def name_what_is_missing(case: Case[Any]) -> None:
    """Replace the null of a task without a list, whose `list_id` Schemathesis follows."""
    for name, value in case.path_parameters.items():
        if value in (None, "None"):
            case.path_parameters[name] = str(uuid4())


def keep_batch_valid(batch: dict[str, Any]) -> None:
    """Make If-None-Match hold for a creation, and drop it where no task is there."""
    for operation in batch["operations"]:
        drop_references(operation)
        if operation["op"] != "create":
            batch["atomic"] = False
        elif "id" in operation:
            operation["id"] = str(uuid4())


def drop_references(fields: dict[str, Any]) -> None:
    """Name no list and no parent: random ones do not exist; and no rule: few texts are one."""
    fields.update(dict.fromkeys(REFERENCES & fields.keys()))
    if fields.get("time_zone"):  # to Schemathesis, every text of the pattern is one
        fields["time_zone"] = "Europe/Berlin"
    if "reminders" in fields:  # one before the due needs a due; two may be the same moment
        fields["reminders"] = [each for each in fields["reminders"] if "at" in each][:1]


def send_every_parameter(case: Case[Any]) -> None:
    """Send an empty list in a parameter as an empty text; else it would be left out."""
    for name, value in case.query.items():
        if isinstance(value, list) and not any(value):
            case.query[name] = ""


def name_a_task_that_is_there(case: Case[Any]) -> None:
    """Replace a random task id by a real one; else nearly all responses are 404."""
    known = made.get(str(case.path_parameters.get("user_id")).lower(), [])
    if remembers_tasks and known and case.path_parameters.get("task_id") not in (None, *known):
        case.path_parameters["task_id"] = known[-1]


def bring_a_fresh_key(case: Case[Any]) -> None:
    """Replace an idempotency key that other requests have, too."""
    for name, value in (case.headers or {}).items():
        if name.lower() == KEY.lower() and VALID_KEY.fullmatch(str(value)):
            case.headers[name] = str(uuid4())


def ask_about_oneself(case: Case[Any]) -> None:
    """Replace a random user id by the sender's; ids of other known users stay."""
    made_up = str(case.path_parameters.get("user_id"))
    with suppress(ValueError):
        if users and str(UUID(made_up)) == made_up.lower() and made_up not in users.values():
            case.path_parameters["user_id"] = own_id(case)


def own_id(case: Case[Any]) -> str:
    """Of the user who sends the request."""
    return users.get(case.auth_identity or "", next(iter(users.values())))


def bring_a_real(token: str, case: Case[Any]) -> None:
    """Replace a random token by a real one, or leave it out while there is none."""
    user, made_up = str(case.path_parameters.get("user_id")), case.query[token]
    issued = given[operation_id(case)]
    fit = [(owner, query) for owner, query in issued if not users or owner == user]
    if (user, made_up) in [(owner, query[token]) for owner, query in fit]:
        return
    user, query = fit[-1] if fit else (user, {})
    case.path_parameters["user_id"] = user
    # Other filters than those of the link, or an offset, do not go with it.
    case.query = {**query, **{name: case.query[name] for name in FREE & case.query.keys()}}


def operation_id(case: Case[Any]) -> str:
    """The id of the operation."""
    return str(case.operation.definition.raw["operationId"])


def keep_tags_apart(value: Any) -> None:
    """Drop tags that are equal without case to others: JSON Schema cannot say that."""
    if isinstance(value, dict) and isinstance(value.get("tags"), list):
        value["tags"] = list({folded(tag): tag for tag in value["tags"]}.values())
    for operation in value.get("operations", []) if isinstance(value, dict) else []:
        keep_tags_apart(operation)


def is_valid(case: Case[Any]) -> bool:
    """Whether the request is valid."""
    return case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE


@schemathesis.check
def tokens_that_were_issued_are_taken(
    context: CheckContext, response: Response, case: Case[Any]
) -> None:
    """A random token is valid for Schemathesis, as it is a string; these really are."""
    sent = str(response.request.headers.get("Authorization")).removeprefix("Bearer ")
    assert sent not in tokens or response.status_code != 401, "a valid token was refused"


@schemathesis.check
def use_after_free_and_not_restored(
    context: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """Schemathesis's own check, which knows of no trash: what was restored may be used again."""
    return None if _restored(context, case) else use_after_free(context, response, case)


def _restored(context: CheckContext, case: Case[Any]) -> bool:
    """Whether the latest write of the task restored it."""
    restored = False
    for each in context.internals.find_all_cases():
        response = context.internals.find_response(case_id=each.id)
        if each.path_parameters == case.path_parameters and response and response.status_code < 300:
            restored = each.path.endswith("/restore") or (restored and each.method != "DELETE")
    return restored
