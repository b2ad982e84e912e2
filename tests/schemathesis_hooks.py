"""What Schemathesis needs to be told of this contract, in both ways of running it."""

from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Let valid cases be what they are said to be, and the same when they are tried again."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    headers = case.meta.components.get(ParameterLocation.HEADER)
    if headers and headers.mode is GenerationMode.NEGATIVE:
        # Where it finds no valid value of a header, it takes an invalid one for the valid cases.
        for name in list(case.headers):
            del case.headers[name]
    if isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = str(uuid4())
