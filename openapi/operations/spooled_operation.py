"""An operation whose response is spooled: `x-spooled: true` in the contract."""

from typing import Any

from handlers.context import Principal
from openapi.contract.faults import Unsupported, Where
from openapi.http.request import Request
from openapi.http.response import Headers, Response
from openapi.operations.bodies import unwanted_body
from openapi.operations.costs import CallerQuota
from openapi.operations.operation import Operation
from openapi.operations.spools import Spools
from openapi.settings import Settings

SPOOLED = "x-spooled"
MEDIA_TYPES = "x-media-types"


class SpooledOperation(Operation):
    """An operation without a body, whose response is a stream with an end.

    A parameter with `x-media-types` names the media type, over the header Accept.
    """

    def __init__(
        self,
        described: Any,
        definition: dict[str, Any],
        where: Where,
        settings: Settings,
        notices: Headers,
    ) -> None:
        choosing = [each for each in described.parameters if MEDIA_TYPES in each]
        self._choice: str = choosing[0]["name"] if choosing else ""
        self._chosen: dict[str, str] = choosing[0][MEDIA_TYPES] if choosing else {}
        self._withheld = (self._choice,)
        self._spools = Spools()
        super().__init__(described, definition, where, settings, notices)
        if self._body is not None or "user_id" not in self._parameters.arguments:
            raise Unsupported("a spooled operation has a user_id, and no body", (*where, SPOOLED))

    async def respond(
        self,
        request: Request,
        path: dict[str, str],
        caller: Principal,
        quota: CallerQuota | None,
    ) -> Response:
        """The response, complete before it is sent."""
        context = self._context(request, caller)
        arguments, faults = self._parameters.read(path, request)
        if request.has_body:
            raise unwanted_body()
        self._check(request.headers, faults)
        choice = arguments.pop(self._choice, None)
        if choice is not None:
            context = context._replace(media_type=self._chosen[choice])
        returned = await self._handler(context, **arguments)
        response = self._responses.encode(returned, context.media_type)
        return await self._spools.spooled(response, arguments["user_id"])
