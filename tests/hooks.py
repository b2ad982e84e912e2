"""What Schemathesis must be told of requests that the contract alone does not make sense of.

Both ways of running it load this file, as schemathesis.toml says.
"""

import re
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext

from tests.contract import DOCUMENT

KEY = "Idempotency-Key"
VALID = re.compile(DOCUMENT["components"]["parameters"]["IdempotencyKey"]["schema"]["pattern"])


@schemathesis.hook("before_call")
def give_each_request_its_key(
    context: HookContext, case: Case[Any], kwargs: dict[str, Any]
) -> None:
    """A key that was made up for another request, too, would be refused."""
    for name, value in (case.headers or {}).items():
        if name.lower() == KEY.lower() and VALID.fullmatch(str(value)):
            case.headers[name] = str(uuid4())
