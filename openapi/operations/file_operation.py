"""An operation whose body is a file: `x-file: true` in the contract.

The body is larger than others may be. It is received into a temporary file before the handler is
called: so a slow client holds nothing of the database.
"""

from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Any

from db.transfers.lines import Incoming
from handlers.context import Principal
from handlers.files import File
from openapi.contract.faults import Parts, Unsupported, Where
from openapi.http.media_types import content_type
from openapi.http.problems import MEDIA_TYPE, Fault, Problem
from openapi.http.request import Request
from openapi.http.response import Headers, Response
from openapi.operations.costs import CallerQuota
from openapi.operations.files import MOST_FAULTS_OF_LINE, Read, reader_of
from openapi.operations.operation import FILE, Operation
from openapi.operations.schemas import Schema
from openapi.operations.spools import IN_MEMORY, Spools
from openapi.settings import Settings

MADE = "x-made-of-lines"
"""What files of other programs are turned into, and is checked as if a client had sent it."""


class FileOperation(Operation):
    """An operation that is given a `File` as its body."""

    def __init__(
        self,
        described: Any,
        definition: dict[str, Any],
        where: Where,
        settings: Settings,
        notices: Headers,
    ) -> None:
        self._limit = settings.import_limit
        self._spools = Spools()
        self._readers: dict[str, Read] = {}
        place, parts = (*where, "requestBody", "content"), Parts()
        for name, media in described.request_body["content"].items():
            with parts:
                self._readers[name] = reader_of(name, media, (*place, name))
        parts.check()
        self._made = {
            kind: (Schema(schema, "request", (*where, MADE, kind)), {*schema["properties"]})
            for kind, schema in definition[MADE].items()
        }
        super().__init__(described, definition, where, settings, notices)
        if "user_id" not in self._parameters.arguments or not described.request_body["required"]:
            raise Unsupported("a file is required, and has a user_id", (*where, FILE))

    async def respond(
        self,
        request: Request,
        path: dict[str, str],
        caller: Principal,
        quota: CallerQuota | None,
    ) -> Response:
        """Receive the file, then call the handler."""
        context = self._context(request, caller)
        arguments, faults = self._parameters.read(path, request)
        if not request.has_body:
            faults = [*faults, Fault("a body is required", pointer="")]
        self._check(request.headers, faults)
        media_type = self._media_type(request.headers)
        with self._spools.place(arguments["user_id"]), SpooledTemporaryFile(IN_MEMORY) as file:
            async for chunk in request.chunks(self._limit):
                file.write(chunk)
            file.seek(0)
            lines = self._readers[media_type](file)
            arguments["body"] = File(media_type, lines, self._faults_of)
            returned = await self._handler(context, **arguments)
        return self._responses.encode(returned, context.media_type)

    def _faults_of(self, incoming: Incoming) -> list[tuple[str, str]]:
        """What a client could not send of a list or task."""
        schema, names = self._made[incoming.kind]
        fields = {name: each for name, each in incoming.fields.items() if name in names}
        if schema.accepts(fields):
            return []
        faults = islice(schema.faults(fields), MOST_FAULTS_OF_LINE)
        return [(each.detail, (each.pointer or "").removeprefix("/")) for each in faults]

    def _media_type(self, headers: dict[bytes, bytes]) -> str:
        name, is_utf8 = content_type(headers.get(b"content-type", b""))
        if b"content-encoding" in headers or not is_utf8 or name not in self._readers:
            wanted = " or ".join(self._readers)
            detail = f"The Content-Type must be {wanted}, in UTF-8, not compressed."
            raise Problem(MEDIA_TYPE, detail)
        return name
