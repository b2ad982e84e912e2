"""Traces for OpenTelemetry: a span for each request, its waits, and its statements.

Only a server with `ERRAND_TRACING=on` imports this module. The variables of OpenTelemetry itself
say where the spans go, and how many requests are traced.
"""

import asyncio
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Receive, Scope, Send

from openapi.http.request import Request
from openapi.http.response import Response
from openapi.server.middleware import ContractMiddleware
from openapi.server.watchdog import InFlightRequest

FLUSH_SECONDS = 5
SERVER_ERROR = 500
INCOMING = ("traceparent", "tracestate")


class Tracing:
    """Records spans, and sends them to a collector; it is open inside `async with`."""

    def __init__(self) -> None:
        self._propagator = TraceContextTextMapPropagator()
        self._tracer: trace.Tracer = trace.NoOpTracer()

    async def __aenter__(self) -> Self:
        # Not in __init__: the processor has a thread, which the parent of workers does not need.
        ours = {SERVICE_NAME: "errand", SERVICE_VERSION: version("errand")}
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("errand")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send the last spans; a collector that does not respond delays the stop a little."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.to_thread(self._provider.shutdown)

    def context(self) -> Any:
        """The span of the request that the current task serves; None if it is not traced."""
        return contexts.get_current() if trace.get_current_span().is_recording() else None

    def record(self, name: str, context: Any, start: int, *, calls: int = 0) -> None:
        """Record a span that ends now; of a statement, with the number of calls that it ran."""
        if context is None:
            return
        of_statement: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.operation.name": name,
            "db.operation.batch.size": calls,
        }
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        attributes = of_statement if calls else None
        self._tracer.start_span(
            name, context=context, kind=kind, attributes=attributes, start_time=start
        ).end()

    def begin(self, scope: Scope) -> Span:
        """The span of a request; it continues the trace that the client names (W3C)."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name.decode("latin-1") in INCOMING
        }
        return self._tracer.start_span(
            scope["method"], context=self._propagator.extract(carrier), kind=SpanKind.SERVER
        )


class TracedMiddleware(ContractMiddleware):
    """Serves every request within a span."""

    def __init__(self, *args: Any, tracing: Tracing, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one response to one request, and log and trace both."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        with trace.use_span(self._tracing.begin(scope), end_on_exit=True):
            await super().__call__(scope, receive, send)

    async def _respond(self, request: Request, in_flight: InFlightRequest) -> Response | None:
        response = await super()._respond(request, in_flight)
        _describe(trace.get_current_span(), request, in_flight, response)
        return response


def _describe(
    span: Span, request: Request, in_flight: InFlightRequest, response: Response | None
) -> None:
    """Say in the span what the request was, and how it ended."""
    operation = in_flight.operation
    span.set_attribute("http.request.method", request.method)
    span.set_attribute("url.path", request.path_without_secrets.decode("latin-1"))
    span.set_attribute("errand.request_id", request.id)
    if operation is not None:
        route = operation.where[1]
        span.update_name(f"{request.method} {route}")
        span.set_attribute("http.route", route)
        span.set_attribute("errand.operation", operation.id)
    if response is not None:
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
    if in_flight.problem is not None:
        span.set_attribute("error.type", in_flight.problem.name)
