"""One operation of the contract, compiled: from a request to a response."""

import inspect
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from handlers.context import Context, Principal, State
from openapi.contract.faults import Parts, Unsupported, Where
from openapi.http.problems import (
    NO_VERSION,
    TOO_MANY,
    Fault,
    Problem,
    invalid,
)
from openapi.http.request import Request
from openapi.http.response import Headers, Response
from openapi.operations.bodies import ABSENT, Body, unwanted_body
from openapi.operations.costs import CallerQuota, costly_field
from openapi.operations.idempotency import ARGUMENT as KEY
from openapi.operations.idempotency import Idempotency, check_key
from openapi.operations.parameters import Parameters
from openapi.operations.responses import Responses, started
from openapi.operations.security import requires_bearer_token
from openapi.settings import Settings

CONTEXT = "context"
FILE = "x-file"
RESPONSE_TIMEOUT = "x-response-timeout"
LONGEST_TIMEOUT = 3600

# To ignore one of these could do what the client has forbidden (RFC 9110, 13.1).
# If-Modified-Since and If-Range are ignored: there is no Last-Modified, and no partial response.
CONDITIONS = {b"if-match", b"if-none-match", b"if-unmodified-since"}

Handler = Callable[..., Coroutine[Any, Any, Any]]


class Operation:
    """One operation, with everything that can be prepared before the first request."""

    _withheld: tuple[str, ...] = ()
    """Arguments that the handler does not get."""

    def __init__(
        self,
        described: Any,
        definition: dict[str, Any],
        where: Where,
        settings: Settings,
        notices: Headers,
    ) -> None:
        """Compile an operation that Connexion has read and resolved.

        `notices` are headers of every response to it.
        """
        self.notices = notices
        self.where = where
        self.id: str = described.operation_id.rpartition(".")[2]
        self._handler: Handler = described.function
        self._body_limit = settings.body_limit
        self._compile(described, definition, where)
        self._unsupported_conditions = CONDITIONS - self._parameters.in_headers
        self._requires_if_match = settings.require_if_match
        self._max_tasks, self._max_lists = settings.max_tasks, settings.max_lists
        self._refuses_without_if_match = (
            settings.require_if_match and b"if-match" in self._parameters.in_headers
        )
        self.is_limited = TOO_MANY.status in self._responses.statuses
        self.has_secret = self._parameters.have_secret
        self._costly_field = costly_field(definition, described.request_body, where)
        self.response_timeout = _response_timeout(definition, where, settings.answer_timeout)
        self._check_path(where)
        self._check_handler(where)
        check_key(described, self._parameters.arguments, where)
        if KEY in self._parameters.arguments and not self._responses.are_storable:
            raise Unsupported("only responses in JSON are stored for an Idempotency-Key", where)
        self._idempotency = Idempotency(self.id, settings.replay_hours, settings.max_replay_bytes)

    def _compile(self, described: Any, definition: dict[str, Any], where: Where) -> None:
        """Compile the parts, and raise the faults of all parts together."""
        parts = Parts()
        with parts:
            self.requires_token = requires_bearer_token(described, where)
        with parts:
            self._parameters = Parameters(_without_repeats(described.parameters), where)
        self._body: Body | None = None
        self._has_body = bool(described.request_body)
        self._body_is_required = described.request_body.get("required", False)
        if described.request_body and FILE not in definition:
            with parts:
                place, patches = (*where, "requestBody"), described.method == "patch"
                self._body = Body(described.request_body, place, patches=patches)
        with parts:
            self._responses = Responses(self.id, described.responses, (*where, "responses"))
        parts.check()

    @property
    def accept_patch(self) -> bytes:
        """The media types of a patch, if this operation is one; else empty."""
        return self._body.accept_patch if self._body else b""

    @property
    def replays(self) -> int:
        """How many stored responses it has sent again, since the start."""
        return self._idempotency.replays

    async def respond(
        self,
        request: Request,
        path: dict[str, str],
        caller: Principal,
        quota: CallerQuota | None,
    ) -> Response:
        """Decode and validate the request, call the handler, validate and encode the response."""
        context = self._context(request, caller)
        arguments, faults = self._parameters.read(path, request)
        if self._body is not None:
            body, faults_of_body = await self._body.read(request, self._body_limit)
            faults += faults_of_body
            if body is not ABSENT:
                arguments["body"] = body
        elif request.has_body:
            raise unwanted_body()
        self._check(request.headers, faults)
        if KEY in arguments:
            handle = partial(self._handle, quota)
            return await self._idempotency.respond(context, arguments, handle)
        if self._costly_field:
            await self._charge(quota, arguments)
        returned = await self._handler(context, **arguments)
        response = self._responses.encode(returned, context.media_type)
        return response if response.rest is None else await started(response, response.rest)

    def _context(self, request: Request, caller: Principal) -> Context:
        state: State = request.state
        media_type = self._responses.negotiate(request.headers.get(b"accept", b"*/*"))
        return Context(
            state["database"],
            state["notifications"],
            state["streams"],
            state["transfers"],
            caller,
            self._requires_if_match,
            self._max_tasks,
            self._max_lists,
            media_type,
            request.id,
        )

    def _check(self, headers: dict[bytes, bytes], faults: list[Fault]) -> None:
        """Raise all faults of the request together, those of its conditions included."""
        if not self._unsupported_conditions.isdisjoint(headers):
            faults = [*faults, *self._faults_of_conditions(headers)]
        if faults:
            raise invalid(faults)
        if self._refuses_without_if_match and b"if-match" not in headers:
            raise Problem(NO_VERSION, "Send the task's ETag as If-Match.")

    async def _handle(
        self, quota: CallerQuota | None, context: Context, arguments: dict[str, Any]
    ) -> Response:
        if self._costly_field:
            await self._charge(quota, arguments)
        returned = await self._handler(context, **arguments)
        return self._responses.encode(returned, context.media_type)

    async def _charge(self, quota: CallerQuota | None, arguments: dict[str, Any]) -> None:
        """Count the request as the items of its body, which are known only now."""
        if quota is not None:
            await quota.charge(len(arguments["body"][self._costly_field]))

    def _faults_of_conditions(self, headers: dict[bytes, bytes]) -> list[Fault]:
        """Conditions that would be ignored; If-Match overrides If-Unmodified-Since (RFC 9110)."""
        ignored = self._unsupported_conditions & headers.keys()
        if b"if-match" in headers.keys() - ignored:
            ignored -= {b"if-unmodified-since"}
        return [
            Fault("this operation does not support this condition", parameter=name.decode().title())
            for name in sorted(ignored)
        ]

    def _check_path(self, where: Where) -> None:
        """The variables of the path template are exactly its path parameters, each once."""
        named = sorted(re.findall(r"\{(.*?)\}", where[1]))
        if named != (described := self._parameters.in_path):
            raise Unsupported(
                f"the path names ({', '.join(named)}), "
                f"but its parameters are ({', '.join(described)})",
                where,
            )

    def _check_handler(self, where: Where) -> None:
        """Check that the handler accepts every argument that the contract allows."""
        if not inspect.iscoroutinefunction(self._handler):
            raise Unsupported(f"{self.id} must be an `async def` without `yield`", where)
        offered = {*self._parameters.arguments, *(["body"] if self._has_body else [])} - {
            KEY,
            *self._withheld,
        }
        always_offered = {
            *(n for n, each in self._parameters.arguments.items() if each.required),
            *(n for n, each in self._parameters.arguments.items() if each.has_default),
            *(["body"] if self._body_is_required else []),
        }
        accepted = dict(inspect.signature(self._handler).parameters)
        if next(iter(accepted), None) != CONTEXT:
            raise Unsupported(f"{self.id} does not take `{CONTEXT}` first", where)
        del accepted[CONTEXT]
        required = {
            name for name, each in accepted.items() if each.default is inspect.Parameter.empty
        }
        if not (required <= always_offered and offered <= accepted.keys()):
            raise Unsupported(
                f"{self.id} takes ({', '.join(accepted)}), "
                f"but the contract gives ({', '.join(sorted(offered))})",
                where,
            )


def _response_timeout(definition: dict[str, Any], where: Where, usual: float) -> float:
    """The seconds until the response must start."""
    seconds = definition.get(RESPONSE_TIMEOUT, usual)
    if type(seconds) not in (int, float) or not 0 < seconds <= LONGEST_TIMEOUT:
        place = (*where, RESPONSE_TIMEOUT)
        raise Unsupported(f"{RESPONSE_TIMEOUT} is a number of seconds to {LONGEST_TIMEOUT}", place)
    return float(seconds)


def _without_repeats(definitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An operation's own parameters override those of its path with the same name and place."""
    first = {(each["name"], each["in"]): each for each in reversed(definitions)}
    return list(first.values())
