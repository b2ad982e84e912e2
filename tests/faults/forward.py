"""Forwards connections to a Unix socket: `python -m tests.faults.forward HOST PORT SOCKET`.

It is a program, so that it can run in a network namespace.
"""

import asyncio
import sys
from socket import IPPROTO_TCP, TCP_USER_TIMEOUT


async def forward(host: str, port: str, path: str) -> None:
    """Forward until the process is killed."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As Errand has PostgreSQL do it on connections of TCP.
        writer.get_extra_info("socket").setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000)
        far_reader, far_writer = await asyncio.open_unix_connection(path)
        await asyncio.wait(
            [
                asyncio.create_task(pump(reader, far_writer)),
                asyncio.create_task(pump(far_reader, writer)),
            ]
        )

    server = await asyncio.start_server(join, host, int(port))
    print("ready", flush=True)
    await server.serve_forever()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until either side ends."""
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.transport.abort()


if __name__ == "__main__":
    asyncio.run(forward(*sys.argv[1:]))
