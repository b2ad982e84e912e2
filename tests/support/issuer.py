"""An issuer of tokens: real keys, real HTTP on the loopback address, real failures."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import get_algorithm_by_name

PRIVATE = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}
JWKS_PATH = "/api/auth/jwks"
Answer = Callable[[BaseHTTPRequestHandler], None]


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def encoded(value: Any) -> str:
    """A part of a token; bytes stand as they are."""
    document = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64url(document)


def new_private(algorithm: str, bits: int = 2048) -> PRIVATE:
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.generate()
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    return rsa.generate_private_key(65537, bits)


@dataclass
class SigningKey:
    """A key of the issuer's; what it publishes of it is `jwk`, which a test may change."""

    algorithm: str
    private: PRIVATE
    kid: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        public = get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), True)
        public.pop("key_ops", None)
        # Like Better Auth's, it has neither `use` nor an expiry.
        self.jwk: dict[str, Any] = {"alg": self.algorithm, **public, "kid": self.kid}

    @property
    def pem(self) -> str:
        public = self.private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, header: Any, claims: Any) -> str:
        """Sign any header and claims; bytes in place of an object are signed as they are."""
        content = f"{encoded(header)}.{encoded(claims)}"
        signature = get_algorithm_by_name(self.algorithm).sign(content.encode(), self.private)
        return f"{content}.{base64url(signature)}"


class Issuer:
    """Signs tokens as Better Auth does, and publishes its keys."""

    def __init__(self, algorithm: str = "EdDSA", tls: ssl.SSLContext | None = None) -> None:
        self.key = SigningKey(algorithm, new_private(algorithm))
        self.published = [self.key.jwk]
        self.requests = 0
        self._recovered = threading.Event()
        self._answer: Answer
        self._tls = tls
        self._port = 0
        self.recovers()
        self.starts()

    @property
    def url(self) -> str:
        """`iss` and `aud` of its tokens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def jwks_url(self) -> str:
        """The URL of its keys."""
        return self.url + JWKS_PATH

    def token(
        self,
        sub: Any = "alice",
        *,
        key: SigningKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token that is good for 15 minutes; a claim or header that is None is left out."""
        key = key or self.key
        return key.sign(
            without_none({"alg": key.algorithm, "kid": key.kid, **(header or {})}),
            without_none({**self.claims(sub), **claims}),
        )

    def claims(self, sub: Any = "alice") -> dict[str, Any]:
        """The default claims about a user."""
        now = int(time.time())
        return {"iat": now, "exp": now + 900, "iss": self.url, "aud": self.url, "sub": sub}

    def rotate(self, algorithm: str = "EdDSA", *, forget: bool = False) -> SigningKey:
        """Sign with a new key; the old ones stay published, unless they are to be forgotten."""
        self.key = SigningKey(algorithm, new_private(algorithm))
        self.published = [*([] if forget else self.published), self.key.jwk]
        return self.key

    def hangs(self) -> None:
        """It accepts requests and never responds."""
        self._answer = self._hang

    def fails(self, status: int = 500) -> None:
        """It responds with this status, and its keys."""
        self._answer = lambda to: send(to, self.document, status=status)

    def says(self, body: bytes, **headers: str) -> None:
        """It responds 200 with this."""
        self._answer = lambda to: send(to, body, 200, **headers)

    def redirects_to(self, url: str) -> None:
        """It redirects to another URL."""
        self._answer = lambda to: send(to, b"", status=302, location=url)

    def is_huge(self, size: int = 10_000_000) -> None:
        """Its keys are followed by that many blanks."""
        self._answer = lambda to: send(to, self.document + b" " * size)

    def drips(self, pause: float = 0.1) -> None:
        """It sends its response byte by byte, so that every single read is quick."""
        self._answer = lambda to: self._drip(to, pause)

    def is_slow(self, seconds: float) -> None:
        """It responds late, with the keys that it had when it was asked."""

        def answer(to: BaseHTTPRequestHandler) -> None:
            document = self.document
            self._recovered.wait(seconds)
            send(to, document)

        self._recovered.clear()
        self._answer = answer

    def recovers(self) -> None:
        """It works again; connections without a response are closed."""
        self._answer = lambda to: send(to, self.document)
        self._recovered.set()

    def stops(self) -> None:
        """It stops listening."""
        self._recovered.set()
        self._server.shutdown()
        self._server.server_close()

    def starts(self) -> None:
        """It listens, at the same address as before it stopped."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests += 1
                assert self.path == JWKS_PATH
                with suppress(OSError):
                    issuer._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = Server(("127.0.0.1", self._port), Handler)
        if self._tls:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    @property
    def document(self) -> bytes:
        """Its keys, as it publishes them."""
        return json.dumps({"keys": self.published}).encode()

    def _hang(self, _: BaseHTTPRequestHandler) -> None:
        self._recovered.clear()
        self._recovered.wait()

    def _drip(self, to: BaseHTTPRequestHandler, pause: float) -> None:
        self._recovered.clear()
        to.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        for byte in self.document:
            to.wfile.write(bytes([byte]))
            if self._recovered.wait(pause):
                return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses its certificate, or disconnects, is no error of a test."""


def send(to: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    to.send_response(status)
    for name, value in {"content_length": str(len(body)), **headers}.items():
        to.send_header(name.replace("_", "-"), value)
    to.end_headers()
    to.wfile.write(body)


def without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def running_issuer(algorithm: str = "EdDSA", tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """A running issuer."""
    issuer = Issuer(algorithm, tls)
    try:
        yield issuer
    finally:
        with suppress(OSError, socket.error):
            issuer.stops()


def tampered(token: str) -> str:
    head, claims, signature = token.split(".")
    middle = len(claims) // 2
    other = "A" if claims[middle] != "A" else "B"
    return ".".join([head, claims[:middle] + other + claims[middle + 1 :], signature])
