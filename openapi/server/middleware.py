"""The stages of every request: match, admit, decode, call the handler, encode, send, log."""

import asyncio
import time
from contextlib import suppress

from connexion.http_facts import METHODS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openapi.access.cors import Cors
from openapi.access.hosts import Hosts
from openapi.access.principal import Denied
from openapi.access.proxies import TrustedProxies
from openapi.access.rate_limits import CallerQuota
from openapi.http.media_types import EVENT_STREAM
from openapi.http.problems import (
    METHOD,
    UNKNOWN_PATH,
    Problem,
    kind_of,
    log_broken_stream,
    problem_response,
)
from openapi.http.request import ClientDisconnected, Refusal, Request, request_ids
from openapi.http.response import Chunks, Headers, Response
from openapi.http.security_headers import WITH_DATA
from openapi.operations.routing import Route, Router
from openapi.server import docs
from openapi.server.admission import Admission
from openapi.server.docs import Page
from openapi.server.request_log import RequestLog
from openapi.server.watchdog import InFlightRequest, RequestWatchdog, ServerStopping

# A stream of events goes on until one side ends it.
ENDLESS = (b"content-type", EVENT_STREAM.encode())
EVERY_METHOD = ", ".join(sorted(each.upper() for each in METHODS)).encode()


# The status of a response that was sent whole, and the size of what was sent of its body.
Sent = tuple[int | None, int]

UNKNOWN: tuple[None, dict[str, str]] = (None, {})
END: Message = {"type": "http.response.body", "body": b""}


def _chunk(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


class ContractMiddleware:
    """Serves every request by itself; the wrapped application only handles the lifespan."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        router: Router,
        pages: dict[bytes, Page],
        cors: Cors | None,
        hosts: Hosts,
        proxies: TrustedProxies | None,
        admission: Admission,
        watchdog: RequestWatchdog,
        log: RequestLog,
    ) -> None:
        self._app = app
        self._router = router
        self._pages = pages
        self._cors = cors
        self._hosts = hosts
        self._proxies = proxies
        self._request_ids = request_ids()
        self._admission = admission
        self._watchdog = watchdog
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one response to one request, and log both."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request = Request(scope, receive, next(self._request_ids))
        if self._proxies is not None:
            self._proxies.apply(request)
        in_flight = self._watchdog.enter(request)
        status, size = None, 0
        try:
            response = await self._respond(request, in_flight)
            if response is not None:
                status, size = await self._send(request, response, send)
        finally:
            self._log.add(in_flight, status, size, time.perf_counter() - started)

    async def _respond(self, request: Request, in_flight: InFlightRequest) -> Response | None:
        """The response, also to an error of any stage; None if the client has disconnected."""
        headers: Headers = []
        quota: CallerQuota | None = None
        try:
            if self._cors is not None:
                headers = self._cors.response_headers(request.headers.get(b"origin"))
            self._hosts.check(request)
            route, values = self._router.match(request.path) or UNKNOWN
            operation = route.operations.get(request.method) if route else None
            in_flight.operation = operation
            if operation is None:
                response = self._respond_without_operation(request, route)
            else:
                if operation.notices:
                    headers = [*headers, *operation.notices]
                caller, quota = await self._admission.admit(operation, request, values)
                in_flight.caller = caller
                response = await operation.respond(request, values, caller, quota)
        except (Exception, asyncio.CancelledError) as error:
            cause = in_flight.cause_of(error)
            if isinstance(cause, ClientDisconnected):
                return _refused(in_flight, cause.refusal)
            if isinstance(cause, asyncio.CancelledError):
                raise
            if isinstance(cause, Denied):
                in_flight.caller, in_flight.key_id = cause.caller, cause.key_id
            in_flight.problem = kind_of(cause)
            response = problem_response(cause, str(request), request.id)
        finally:
            self._watchdog.leave(in_flight)
        if quota is not None:
            headers = [*headers, *quota.headers]
        return response.with_headers(headers) if headers else response

    async def _send(self, request: Request, response: Response, send: Send) -> Sent:
        status, headers, body, rest = response
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if rest is not None:
            return await self._stream(request, response, rest, send)
        await send({"type": "http.response.body", "body": body})
        return status, 0 if request.method == "HEAD" else len(body)

    async def _stream(self, request: Request, response: Response, rest: Chunks, send: Send) -> Sent:
        """Send chunks as they are produced; the producer is closed in any case."""
        size = 0
        is_endless = ENDLESS in response.headers
        watch = self._watchdog.enter_endless if is_endless else self._watchdog.enter
        in_flight = watch(request)
        try:
            if request.method != "HEAD":
                await send(_chunk(response.body))
                size += len(response.body)
                async for chunk in rest:
                    await send(_chunk(chunk))
                    size += len(chunk)
            await send(END)
        except (Exception, asyncio.CancelledError) as error:
            cause = in_flight.cause_of(error)
            if isinstance(cause, asyncio.CancelledError):
                raise
            if not isinstance(cause, ServerStopping):
                if not isinstance(cause, ClientDisconnected):
                    log_broken_stream(cause, str(request), request.id)
                return None, size
            with suppress(ClientDisconnected):
                await send(END)
        finally:
            self._watchdog.leave(in_flight)
            await rest.aclose()
        return response.status, size

    def _respond_without_operation(self, request: Request, route: Route | None) -> Response:
        """Respond to CORS preflights, OPTIONS and pages; refuse everything else."""
        page = self._pages.get(request.path) if route is None else None
        if self._cors is not None and self._cors.is_preflight(request.method, request.headers):
            # For an unknown path all methods are allowed: else browsers hide the 404 from scripts.
            return self._cors.preflight_response(
                route.allow if route else docs.ALLOW if page else EVERY_METHOD
            )
        if route is None and page is None:
            raise Problem(UNKNOWN_PATH, "This path is not in the contract.")
        if page is not None and request.method in ("GET", "HEAD"):
            return page.respond(request.headers)
        allow = (b"allow", route.allow if route else docs.ALLOW)
        if request.method == "OPTIONS":
            headers: Headers = [*WITH_DATA, allow]
            if route is not None and route.accept_patch:
                headers.append((b"accept-patch", route.accept_patch))
            return Response(204, headers, b"")
        detail = f"{request.method} is not allowed here. Allowed: {allow[1].decode()}."
        raise Problem(METHOD, detail, headers=[allow])


def _refused(in_flight: InFlightRequest, refusal: Refusal | None) -> Response | None:
    """The response that the protocol has sent already, if it has; the log names its id."""
    if refusal is None:
        return None
    in_flight.request.id = refusal.request_id
    in_flight.problem = refusal.kind
    return refusal.response
