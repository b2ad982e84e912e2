"""A network between clients and a server that loses, cuts, repeats and delays what is sent."""

import socket
import socketserver
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

import httpx

PATIENCE = 30


class Fate(Enum):
    """What the network does with a request; only some tries get a response."""

    ARRIVES = auto()
    IS_LOST = auto()
    IS_CUT = auto()
    ANSWER_IS_LOST = auto()
    ANSWER_IS_CUT = auto()
    COMES_TWICE = auto()
    COMES_TWICE_AT_ONCE = auto()
    COMES_LATER = auto()
    COMES_AGAIN_LATER = auto()
    MEETS_DISASTER = auto()


Choose = Callable[[], Fate]
ANSWERED = {
    *(Fate.ARRIVES, Fate.COMES_TWICE, Fate.COMES_TWICE_AT_ONCE, Fate.COMES_AGAIN_LATER),
}
LATE = {Fate.COMES_LATER, Fate.COMES_AGAIN_LATER}


class Network(socketserver.ThreadingTCPServer):
    """Forwards each request to the server as its fate has it, from threads of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, server: str, choose: Choose) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.choose = choose
        self.disaster: Callable[[], None] = lambda: None
        self.held_back: deque[bytes] = deque()
        self._server = httpx.URL(server)

    @property
    def url(self) -> str:
        """The URL of the server through this network."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def asks(self, request: bytes) -> bytes:
        """Deliver a request; returns the response, or nothing if the connection breaks."""
        with suppress(ConnectionError), self._connected() as connection:
            connection.sendall(request)
            return received(connection)
        return b""

    def tells(self, request: bytes, then: Callable[[], None] = lambda: None) -> None:
        """Deliver a request, or a part of it, without waiting for its response."""
        with suppress(ConnectionError), self._connected() as connection:
            connection.sendall(request)
            then()

    def delivers_late(self) -> None:
        """Deliver the request that was held back first."""
        self.asks(self.held_back.popleft())

    def _connected(self) -> socket.socket:
        address = (self._server.host, self._server.port or 80)
        return socket.create_connection(address, timeout=PATIENCE)


class _Conversation(socketserver.BaseRequestHandler):
    """A client's connection, until the client closes it or the network breaks it."""

    request: socket.socket
    server: Network

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            self.request.settimeout(PATIENCE)
            while (request := received(self.request)) and (answer := self.fared(request)):
                self.request.sendall(answer)

    def fared(self, request: bytes) -> bytes:
        """The response to a request; nothing, if the connection is to break."""
        network, fate = self.server, self.server.choose()
        match fate:
            case Fate.ARRIVES:
                return network.asks(request)
            case Fate.IS_CUT:
                network.tells(request[:-1])
            case Fate.ANSWER_IS_LOST:
                network.asks(request)
            case Fate.ANSWER_IS_CUT:
                self.request.sendall(network.asks(request)[:-1])
            case Fate.COMES_TWICE:
                network.asks(request)
                return network.asks(request)
            case Fate.COMES_TWICE_AT_ONCE:
                return self.comes_twice_at_once(request)
            case Fate.COMES_LATER:
                network.held_back.append(request)
            case Fate.COMES_AGAIN_LATER:
                network.held_back.append(request)
                return network.asks(request)
            case Fate.MEETS_DISASTER:
                network.tells(request, then=network.disaster)
        return b""

    def comes_twice_at_once(self, request: bytes) -> bytes:
        """Deliver the request twice at once; the client gets one response."""
        other = threading.Thread(target=self.server.asks, args=[request])
        other.start()
        answer = self.server.asks(request)
        other.join()
        return answer


@contextmanager
def flaky(server: str, choose: Choose) -> Iterator[Network]:
    """A network in which that function chooses the fate of each request."""
    with Network(server, choose) as network:
        thread = threading.Thread(target=network.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield network
        finally:
            network.shutdown()
            thread.join()


def received(connection: socket.socket) -> bytes:
    """One complete HTTP/1.1 message with Content-Length; else nothing."""
    with connection.makefile("rb", buffering=0) as stream:
        head = _head(stream)
        body = b""
        length = _length(head)
        while len(body) < length and (part := stream.read(length - len(body))):
            body += part
        return head + body if len(body) == length else b""


def _head(stream: socket.SocketIO) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = stream.read(1)
        if not byte:
            return b""
        head += byte
    return head


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
