"""What Schemathesis needs to be told of this contract, in both ways of running it."""

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import use_after_free


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Let valid cases be valid, with conditions that hold, and the same when tried again."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    headers = case.meta.components.get(ParameterLocation.HEADER)
    if headers and headers.mode is GenerationMode.NEGATIVE:
        # Where it finds no valid value of a header, it takes an invalid one for the valid cases.
        for name in list(case.headers):
            del case.headers[name]
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if "If-None-Match" in case.headers and case.method == "GET":
        case.headers["If-None-Match"] = '"1"'
    if isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = str(uuid4())


@schemathesis.check
def use_after_free_and_not_restored(
    context: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """Schemathesis's own check, which knows of no trash: what was restored may be used again."""
    return None if _restored(context, case) else use_after_free(context, response, case)


def _restored(context: CheckContext, case: Case[Any]) -> bool:
    """Whether the last that happened to the task is that it was restored."""
    restored = False
    for each in context.internals.find_all_cases():
        response = context.internals.find_response(case_id=each.id)
        if each.path_parameters == case.path_parameters and response and response.status_code < 300:
            restored = each.path.endswith("/restore") or (restored and each.method != "DELETE")
    return restored
