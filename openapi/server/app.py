"""The server: Connexion's application with one middleware, compiled from the contract."""

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from connexion import AsyncApp
from connexion.exceptions import ResolverError
from connexion.http_facts import METHODS
from connexion.middleware.abstract import SpecMiddleware
from connexion.middleware.lifespan import LifespanMiddleware
from connexion.resolver import Resolver
from connexion.spec import Specification
from starlette.types import ASGIApp, Receive, Scope, Send

from db import database
from db.tasks import trash
from openapi.access.cors import Origins
from openapi.access.policy import guard_of
from openapi.access.rate_limits import Limiter
from openapi.contract.document import CONTRACT, Contract, Unsupported
from openapi.http import problems
from openapi.http.problems import METHOD, UNKNOWN_PATH, Answer, Headers, Problem
from openapi.http.security_headers import WITH_DATA
from openapi.operations.bodies import ClientGone
from openapi.operations.operation import Operation
from openapi.operations.routing import Router
from openapi.server import docs
from openapi.server.admission import Admission
from openapi.server.request_log import RequestLog
from openapi.server.watchdog import Departures
from openapi.settings import Settings

EVERY_METHOD = ", ".join(sorted(each.upper() for each in METHODS)).encode()


class Compiled(SpecMiddleware):  # type: ignore[misc]
    """Answers every request by itself, each stage once; stands for Connexion's own layers."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        contract: Contract,
        settings: Settings,
        departures: Departures,
        admission: Admission,
        log: RequestLog,
    ) -> None:
        self._log = log
        self._app = app
        self._contract = contract
        self._settings = settings
        self._departures = departures
        self._admission = admission
        self._origins = Origins(settings.cors_origins, contract) if settings.cors_origins else None
        self._router = Router()
        self._ids: set[str] = set()
        self._pages = docs.pages(contract)
        home = [*WITH_DATA, (b"location", b"/docs"), (b"content-length", b"0")]
        self._home = Answer(307, home, b"")

    def add_api(self, specification: Specification, **options: Any) -> None:
        """Compile every operation, or refuse to start."""
        try:
            for path, item in specification["paths"].items():
                for method in item.keys() & METHODS:
                    operation = self._compile(specification, path, method, options)
                    self._serve(operation, specification.base_path + path, method.upper())
        except Unsupported as error:
            raise self._contract.refuse(error) from None

    def _serve(self, operation: Operation, path: str, method: str) -> None:
        if operation.id in self._ids:
            raise Unsupported(f"the operationId {operation.id!r} stands twice", operation.where)
        self._ids.add(operation.id)
        self._router.add(path, method, operation)

    def _compile(
        self, specification: Specification, path: str, method: str, options: dict[str, Any]
    ) -> Operation:
        where = ("paths", path, method)
        if "operationId" not in specification.get_operation(path, method):
            raise Unsupported("an operation needs an operationId", where)
        try:
            described = specification.operation_cls.from_spec(
                specification,
                path=path,
                method=method,
                resolver=options["resolver"],
                uri_parser_class=options["uri_parser_class"],
            )
        except ResolverError as error:
            raise Unsupported(f"nothing implements the operation: {error}", where) from error
        return Operation(described, where, self._settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; all else, which is the beginning and the end, is Connexion's."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = None
        try:
            answer = await self._outcome(scope, receive)
            if answer is not None:
                status, headers, body = answer
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        finally:
            told = answer or scope.get("refused")
            self._log.add(scope, told, time.perf_counter() - began)

    async def _outcome(self, scope: Scope, receive: Receive) -> Answer | None:
        """The answer, whatever happens; none if the client has gone."""
        visit = self._departures.enter(scope, receive)
        told: Headers = []
        try:
            answer = await self._answer(scope, visit.receive, told)
        except ClientGone:
            return None
        except asyncio.CancelledError:
            if visit.gone:
                return None
            if not visit.late:
                raise
            answer = problems.answer(visit.too_late(), "what took too long")
        except Exception as error:
            answer = problems.answer(error, f"{scope['method']} {scope['raw_path'].decode()}")
        finally:
            self._departures.leave(visit)
        return Answer(answer.status, answer.headers + told, answer.body) if told else answer

    async def _answer(self, scope: Scope, receive: Receive, told: Headers) -> Answer:
        """The answer; what is told besides, whatever it may be, is added to the headers."""
        path, method = scope["raw_path"], scope["method"]
        headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]):
            headers = _joined(scope["headers"])
        if self._origins is not None:
            told += self._origins.told(headers.get(b"origin"))
            if self._origins.are_asked(method, headers):
                return self._origins.leave(self._methods(path))
        found = self._router.match(path)
        if found is None:
            return self._page(path, method, headers)
        route, values = found
        operation = route.operations.get(method)
        if operation is None:
            patch = route.operations.get("PATCH")
            return _other_method(method, route.allow, patch.accept_patch if patch else b"")
        scope["operation"] = operation.id
        admitted = self._admission.admit(operation, values, headers, scope.get("client"), told)
        caller = await admitted
        return await operation.answer(caller, values, scope["query_string"], headers, receive)

    def _methods(self, path: bytes) -> bytes:
        """What may be asked there; where there is nothing, anything, and the answer is 404."""
        found = self._router.match(path)
        if found is not None:
            return found[0].allow
        return docs.ALLOW if path in self._pages else EVERY_METHOD

    def _page(self, path: bytes, method: str, headers: dict[bytes, bytes]) -> Answer:
        page = self._pages.get(path)
        if page is None and path != b"/":
            raise Problem(UNKNOWN_PATH, "The contract names no such path.")
        if method not in ("GET", "HEAD"):
            return _other_method(method, docs.ALLOW)
        return page.answer(headers) if page else self._home


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """A header that stands more than once is one list (RFC 9110, 5.2)."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(each) for name, each in values.items()}


def _other_method(method: str, allow: bytes, accept_patch: bytes = b"") -> Answer:
    if method == "OPTIONS":
        patch = [(b"accept-patch", accept_patch)] if accept_patch else []
        return Answer(204, [*WITH_DATA, (b"allow", allow), *patch], b"")
    raise Problem(METHOD, f"{method} is not among {allow.decode()}.", headers=[(b"allow", allow)])


def _stop_with_parent() -> None:
    """A worker whose parent was killed would hold the port, and the database, for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        stop = partial(os.kill, os.getpid(), signal.SIGTERM)
        asyncio.get_running_loop().add_reader(parent.sentinel, stop)


class NotBegun(Exception):
    """Raised in place of the start that a server would announce."""


class App(AsyncApp):  # type: ignore[misc]
    """Connexion's application, with the contract compiled before anything is started."""

    def __init__(self, settings: Settings, contract_path: Path = CONTRACT) -> None:
        """Raises what is wrong with the contract, or with the keys of tokens."""
        contract = Contract.load(contract_path, settings)
        limit = settings.requests_a_minute
        self._settings = settings
        self._departures = Departures(settings.answer_timeout)
        self._guard = guard_of(settings)
        self._limiter = Limiter(limit, settings.redis_url) if limit else None
        self._log = RequestLog(wanted=settings.request_log)
        compiled = partial(
            Compiled,
            contract=contract,
            settings=settings,
            departures=self._departures,
            admission=Admission(self._guard, self._limiter, only_locally=settings.is_for_a_laptop),
            log=self._log,
        )
        super().__init__(
            __name__,
            resolver=Resolver(),
            lifespan=self._lifespan,
            middlewares=[compiled, LifespanMiddleware],
        )
        self.add_api(contract.document)
        self._compile()

    def with_database(self, url: str) -> "App":
        """It, serving from a database that may have been started since it was compiled."""
        self._settings = self._settings.model_copy(update={"database_url": url})
        return self

    def _compile(self) -> None:
        """Connexion compiles when it is first called: here, for a lifespan that does not begin."""

        async def receive() -> NoReturn:
            raise NotBegun

        with suppress(NotBegun):
            self({"type": "lifespan"}, receive, None).send(None)

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[dict[str, Any]]:
        """Have a database, and look for clients that go, while requests are served."""
        _stop_with_parent()
        watch = asyncio.create_task(self._departures.look())
        async with (
            self._log,
            self._guard or nullcontext(),
            self._limiter or nullcontext(),
            database.connected(self._settings.pool_options()),
        ):
            purging = asyncio.create_task(trash.purge_daily(self._settings.trash_days))
            yield {"log": self._log}
            purging.cancel()
        watch.cancel()
