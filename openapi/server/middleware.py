"""The way of every request: match, admit, decode, call the handler, encode, send, log."""

import asyncio
import time
from typing import NamedTuple

from connexion.http_facts import METHODS
from starlette.types import ASGIApp, Receive, Scope, Send

from openapi.access.cors import Origins
from openapi.http.problems import METHOD, UNKNOWN_PATH, Problem, problem_response
from openapi.http.request import ClientDisconnected, Request
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_DATA
from openapi.operations.operation import Operation
from openapi.operations.routing import Route, Router
from openapi.server import docs
from openapi.server.admission import Admission
from openapi.server.docs import Page
from openapi.server.request_log import RequestLog
from openapi.server.watchdog import InFlightRequest, RequestWatchdog

EVERY_METHOD = ", ".join(sorted(each.upper() for each in METHODS)).encode()


class Outcome(NamedTuple):
    """The operation that a request named, and the response, unless the client has gone."""

    operation: Operation | None
    response: Response | None


class ContractMiddleware:
    """Serves every request by itself; the application behind it has the lifespan alone."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        router: Router,
        pages: dict[bytes, Page],
        origins: Origins | None,
        admission: Admission,
        watchdog: RequestWatchdog,
        log: RequestLog,
    ) -> None:
        self._app = app
        self._router = router
        self._pages = pages
        self._origins = origins
        self._admission = admission
        self._watchdog = watchdog
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one response to one request, and log both."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request = Request(scope, receive)
        operation = response = None
        try:
            operation, response = await self._outcome(request)
            if response is not None:
                status, headers, body = response
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        finally:
            self._log.add(
                method=request.method,
                path=request.path,
                operation=operation.id if operation else None,
                status=response and response.status,
                size=0 if response is None or request.method == "HEAD" else len(response.body),
                seconds=time.perf_counter() - started,
                client=request.client,
            )

    async def _outcome(self, request: Request) -> Outcome:
        in_flight = self._watchdog.enter(request)
        try:
            return await self._respond(request, in_flight)
        finally:
            self._watchdog.leave(in_flight)

    async def _respond(self, request: Request, in_flight: InFlightRequest) -> Outcome:
        """Every stage of a request, and every error of any of them."""
        operation: Operation | None = None
        headers = self._origins.told(request.headers.get(b"origin")) if self._origins else []
        try:
            match = self._router.match(request.path)
            operation = match.route.operations.get(request.method) if match else None
            if operation is None or match is None:
                response = self._respond_without_operation(request, match and match.route)
            else:
                admitted = await self._admission.admit(operation, request, match.values)
                headers = headers + admitted.headers
                response = await operation.respond(request, match.values, admitted.caller)
        except (Exception, asyncio.CancelledError) as error:
            cause = in_flight.cause_of(error)
            if isinstance(cause, ClientDisconnected):
                return Outcome(operation, cause.refusal)
            if isinstance(cause, asyncio.CancelledError):
                raise
            response = problem_response(cause, str(request))
        return Outcome(operation, response.with_headers(headers) if headers else response)

    def _respond_without_operation(self, request: Request, route: Route | None) -> Response:
        """What needs no operation: CORS preflights, OPTIONS and pages; all else is refused."""
        page = self._pages.get(request.path) if route is None else None
        if self._origins is not None and self._origins.are_asked(request.method, request.headers):
            # Of an unknown path every method is allowed: only so a script sees its 404.
            return self._origins.leave(
                route.allow if route else docs.ALLOW if page else EVERY_METHOD
            )
        if route is None and page is None:
            raise Problem(UNKNOWN_PATH, "The contract names no such path.")
        if page is not None and request.method in ("GET", "HEAD"):
            return page.respond(request.headers)
        allow = (b"allow", route.allow if route else docs.ALLOW)
        if request.method == "OPTIONS":
            headers: Headers = [*WITH_DATA, allow]
            if route is not None and route.accept_patch:
                headers.append((b"accept-patch", route.accept_patch))
            return Response(204, headers, b"")
        detail = f"{request.method} is not among {allow[1].decode()}."
        raise Problem(METHOD, detail, headers=[allow])
