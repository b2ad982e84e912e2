"""One operation of the contract, compiled: from a request to a response."""

import inspect
import re
from collections.abc import Callable, Coroutine
from typing import Any

from handlers.context import Context, Principal, State
from openapi.contract.document import Unsupported, Where
from openapi.http.media_types import JSON, accepts_json
from openapi.http.problems import (
    NO_VERSION,
    NOT_ACCEPTABLE,
    TOO_MANY,
    Fault,
    Problem,
    ResponseBreaksContract,
    invalid,
)
from openapi.http.request import Request
from openapi.http.response import Response
from openapi.operations.bodies import ABSENT, Body, refuse_body
from openapi.operations.idempotency import ARGUMENT as KEY
from openapi.operations.idempotency import Idempotency, check_key
from openapi.operations.parameters import Parameters
from openapi.operations.responses import DeclaredResponse
from openapi.operations.security import requires_bearer_token
from openapi.settings import Settings

CONTEXT = "context"

# To ignore one of these would be to do what the client has forbidden (RFC 9110, 13.1). The other
# two are ignored, as there is no Last-Modified and no partial response.
CONDITIONS = {b"if-match", b"if-none-match", b"if-unmodified-since"}

Handler = Callable[..., Coroutine[Any, Any, Any]]


class Operation:
    """One operation, with everything that can be known of it before the first request."""

    def __init__(self, described: Any, where: Where, settings: Settings) -> None:
        """Compile an operation that Connexion has read and resolved."""
        self.where = where
        self.id: str = described.operation_id.rpartition(".")[2]
        self._handler: Handler = described.function
        self._body_limit = settings.body_limit
        self.requires_token = requires_bearer_token(described, where)
        self._parameters = Parameters(_without_repeats(described.parameters), where)
        self._untaken_conditions = CONDITIONS - self._parameters.in_headers
        self._requires_if_match = settings.require_if_match
        self._takes_if_match = b"if-match" in self._parameters.in_headers
        request_body = described.request_body
        self._body = (
            Body(request_body, (*where, "requestBody"), patches=described.method == "patch")
            if request_body
            else None
        )
        self._responses = {
            (status := _status(code, where)): DeclaredResponse(
                self.id, status, each, (*where, "responses", code)
            )
            for code, each in described.responses.items()
        }
        self._default_status = min(self._responses)
        self.is_limited = TOO_MANY.status in self._responses
        self._returns_json = any(JSON in each.content for each in self._responses.values())
        self._check_path(where)
        self._check_handler(where)
        check_key(described, self._parameters.arguments, where)
        self._idempotency = Idempotency(self.id, settings.replay_hours)

    @property
    def accept_patch(self) -> bytes:
        """What the resource can be patched with, if that is what the operation does."""
        return self._body.accept_patch if self._body else b""

    async def respond(self, request: Request, path: dict[str, str], caller: Principal) -> Response:
        """Decode and validate the request, call the handler, validate and encode the response."""
        self._check_accept(request.headers)
        arguments = await self._arguments(request, path)
        context = self._context(request.state, caller)
        if KEY in arguments:
            return await self._idempotency.respond(context, arguments, self._handle)
        return self._encode(await self._handler(context, **arguments))

    def _context(self, state: State, caller: Principal) -> Context:
        requires_if_match = self._requires_if_match
        return Context(state["database"], state["notifications"], caller, requires_if_match)

    async def _arguments(self, request: Request, path: dict[str, str]) -> dict[str, Any]:
        """The arguments of the handler; raises every fault of the request at once."""
        arguments, faults = self._parameters.read(path, request)
        if self._body is None:
            refuse_body(request)
        else:
            body, faults_of_body = await self._body.read(request, self._body_limit)
            faults += faults_of_body
            if body is not ABSENT:
                arguments["body"] = body
        if not self._untaken_conditions.isdisjoint(request.headers):
            faults += self._faults_of_conditions(request.headers)
        if faults:
            raise invalid(faults)
        if self._requires_if_match and self._takes_if_match and b"if-match" not in request.headers:
            raise Problem(NO_VERSION, "Send the task's ETag as If-Match.")
        return arguments

    async def _handle(self, context: Context, arguments: dict[str, Any]) -> Response:
        return self._encode(await self._handler(context, **arguments))

    def _check_accept(self, headers: dict[bytes, bytes]) -> None:
        accept = headers.get(b"accept", b"*/*")
        if accept != b"*/*" and self._returns_json and not accepts_json(accept):
            raise Problem(NOT_ACCEPTABLE, "The Accept header excludes application/json.")

    def _faults_of_conditions(self, headers: dict[bytes, bytes]) -> list[Fault]:
        """Conditions that would be ignored, except one that If-Match beside it overrides."""
        ignored = self._untaken_conditions & headers.keys()
        if b"if-match" in headers.keys() - ignored:
            ignored -= {b"if-unmodified-since"}
        return [
            Fault("this operation does not take this condition", parameter=name.decode().title())
            for name in sorted(ignored)
        ]

    def _encode(self, returned: Any) -> Response:
        value, status, headers = (
            returned if isinstance(returned, tuple) else (returned, self._default_status, {})
        )
        response = self._responses.get(status)
        if response is None:
            raise ResponseBreaksContract(f"{self.id} declares no {status}")
        return response.encode(value, headers)

    def _check_path(self, where: Where) -> None:
        """What the path names is what there is to be read of it, each once."""
        named = sorted(re.findall(r"\{(.*?)\}", where[1]))
        if named != (described := self._parameters.in_path):
            raise Unsupported(
                f"the path names ({', '.join(named)}), "
                f"but its parameters are ({', '.join(described)})",
                where,
            )

    def _check_handler(self, where: Where) -> None:
        """The handler must be able to take what the contract lets a client send."""
        if not inspect.iscoroutinefunction(self._handler):
            raise Unsupported(f"{self.id} is not implemented by an `async def`", where)
        given = {*self._parameters.arguments, *(["body"] if self._body else [])} - {KEY}
        certain = {
            *(n for n, each in self._parameters.arguments.items() if each.required),
            *(n for n, each in self._parameters.arguments.items() if each.has_default),
            *(["body"] if self._body and self._body.required else []),
        }
        taken = dict(inspect.signature(self._handler).parameters)
        if next(iter(taken), None) != CONTEXT:
            raise Unsupported(f"{self.id} does not take `{CONTEXT}` first", where)
        del taken[CONTEXT]
        wanted = {name for name, each in taken.items() if each.default is inspect.Parameter.empty}
        if not (wanted <= certain and given <= taken.keys()):
            raise Unsupported(
                f"{self.id} takes ({', '.join(taken)}), "
                f"but the contract gives ({', '.join(sorted(given))})",
                where,
            )


def _status(code: str, where: Where) -> int:
    if not code.isdigit():
        raise Unsupported(
            f"the response {code!r} is not supported: name the status", (*where, "responses", code)
        )
    return int(code)


def _without_repeats(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An operation's own parameters come first and stand for the path's of the same name."""
    first = {(each["name"], each["in"]): each for each in reversed(definitions)}
    return list(first.values())
