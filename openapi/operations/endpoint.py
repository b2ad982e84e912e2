"""What the server needs of a method of a path: an operation of the contract is one."""

from typing import Protocol

from handlers.context import Principal
from openapi.contract.faults import Where
from openapi.http.request import Request
from openapi.http.response import Headers, Response
from openapi.operations.costs import CallerQuota


class Endpoint(Protocol):
    """A method of a path: who may call it, what is logged of it, and how it responds."""

    id: str
    where: Where
    notices: Headers
    requires_token: bool
    is_limited: bool
    has_secret: bool
    response_timeout: float

    @property
    def accept_patch(self) -> bytes:
        """The media types of a patch, if it is one; else empty."""

    @property
    def replays(self) -> int:
        """How many stored responses it has sent again, since the start."""

    async def respond(
        self,
        request: Request,
        path: dict[str, str],
        caller: Principal,
        quota: CallerQuota | None,
    ) -> Response:
        """The response to an admitted request."""
