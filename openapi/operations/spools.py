"""Temporary files between clients and the database, and how many there are.

A response that is spooled is made whole before its first byte is sent.

So a slow client holds a file and nothing of the database, the length of the response is known, and
an error after its first item is still a problem document.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from tempfile import SpooledTemporaryFile
from typing import IO
from uuid import UUID

from db.errors import Overloaded
from openapi.http.response import Chunks, Response
from openapi.operations.responses import started

IN_MEMORY = 256 * 1024
"""Bytes up to which no file is needed."""
CHUNK = 64 * 1024
AT_ONCE = 25
"""Items of a response after which other requests have their turn."""
MOST = 20
MOST_OF_A_USER = 2
TOO_MANY = "The server keeps as many files for slow clients as it can."
TOO_MANY_OF_USER = "This user already has {} of these requests in progress."


class Spools:
    """The files of one operation that are not done with yet."""

    def __init__(self) -> None:
        self._owners: list[UUID] = []

    @contextmanager
    def place(self, owner: UUID) -> Iterator[None]:
        """Room for one file of the owner; raises if there is none."""
        self._enter(owner)
        try:
            yield
        finally:
            self._owners.remove(owner)

    async def spooled(self, response: Response, owner: UUID) -> Response:
        """The same response with its length, once it is complete."""
        assert response.rest is not None
        self._enter(owner)
        file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - it is closed when it is sent
        try:
            async with aclosing(response.rest) as chunks:
                count = 0
                async for chunk in chunks:
                    file.write(chunk)
                    count += 1
                    if count % AT_ONCE == 0:
                        await asyncio.sleep(0)
            length = (b"content-length", b"%d" % file.tell())
            whole = response._replace(headers=[*response.headers, length])
            sent = self._chunks(file, owner)
        except BaseException:
            self._close(file, owner)
            raise
        return await started(whole._replace(rest=sent), sent)

    def _enter(self, owner: UUID) -> None:
        if len(self._owners) >= MOST:
            raise Overloaded(TOO_MANY)
        if self._owners.count(owner) >= MOST_OF_A_USER:
            raise Overloaded(TOO_MANY_OF_USER.format(MOST_OF_A_USER))
        self._owners.append(owner)

    async def _chunks(self, file: IO[bytes], owner: UUID) -> Chunks:
        try:
            file.seek(0)
            while chunk := file.read(CHUNK):
                yield chunk
        finally:
            self._close(file, owner)

    def _close(self, file: IO[bytes], owner: UUID) -> None:
        file.close()
        self._owners.remove(owner)
