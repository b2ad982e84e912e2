"""What Schemathesis must be told of requests that the contract alone does not make sense of.

Both ways of running it load this file, as schemathesis.toml says.
"""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from requests.utils import parse_header_links
from schemathesis import Case, GenerationMode, HookContext, Response

LONGEST_WAIT = 30
TOKENS = {"list_changes": "since", "list_tasks": "cursor"}
FREE = {"limit", "wait"}

# By user, the queries that the server itself has made, the latest last.
given: dict[str, list[tuple[str, dict[str, str]]]] = {name: [] for name in TOKENS.values()}


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Do not wait for changes that do not come; of tokens, bring such as the server has given."""
    wait = str(case.query.get("wait"))
    if wait.isdecimal() and int(wait) <= LONGEST_WAIT:
        case.query["wait"] = 0
    token = TOKENS.get(operation_id(case))
    if token in case.query and is_valid(case):
        bring_a_real(token, case)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remember the tokens that the server gives."""
    if response.status_code != 200 or operation_id(case) not in TOKENS:
        return
    user = str(case.path_parameters["user_id"])
    if operation_id(case) == "list_changes":
        given["since"].append((user, {"since": response.json()["next"]}))
        return
    for link in parse_header_links(response.headers["link"][0]):
        remember_link(user, link["url"])


def remember_link(user: str, url: str) -> None:
    """The query of a link from one page of a list to another."""
    query = dict(parse_qsl(urlsplit(url).query))
    if "cursor" in query:
        given["cursor"].append((user, query))


def bring_a_real(token: str, case: Case[Any]) -> None:
    """Put a token in place of one that was made up, or leave it out until one was given."""
    made_up = (str(case.path_parameters.get("user_id")), case.query[token])
    if made_up in [(user, query[token]) for user, query in given[token]]:
        return
    user, query = given[token][-1] if given[token] else (made_up[0], {})
    case.path_parameters["user_id"] = user
    # Other filters than those of the link, or an offset, do not go with it.
    case.query = {**query, **{name: case.query[name] for name in FREE & case.query.keys()}}


def operation_id(case: Case[Any]) -> str:
    """Which operation it is."""
    return str(case.operation.definition.raw["operationId"])


def is_valid(case: Case[Any]) -> bool:
    """Whether nothing is wrong with the request."""
    return case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
