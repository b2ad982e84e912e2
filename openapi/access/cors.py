"""CORS: pages of other origins that may call the API, and the preflights of their browsers."""

from collections.abc import Sequence

from connexion.http_facts import METHODS

from openapi.contract.document import Contract
from openapi.http.response import Headers, Response

VARY = (b"vary", b"Origin")
MAX_AGE_SECONDS = b"7200"


class Cors:
    """The allowed origins. Credentials are not allowed: tokens are sent by scripts, not cookies."""

    def __init__(self, origins: Sequence[str], contract: Contract) -> None:
        request_headers, response_headers = _headers_named_in(contract)
        exposed = (
            b"access-control-expose-headers",
            _joined(response_headers | {"Allow", "Deprecation", "Sunset"}),
        )
        self._response_headers: dict[bytes | None, Headers] = {
            origin.encode(): [VARY, (b"access-control-allow-origin", origin.encode()), exposed]
            for origin in origins
        }
        allowed = _joined(request_headers | {"Authorization", "Content-Type"})
        self._preflight_headers = [
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", MAX_AGE_SECONDS),
        ]

    def response_headers(self, origin: bytes | None) -> Headers:
        """The headers of every response; to an origin that is not allowed, only `Vary`."""
        return self._response_headers.get(origin, [VARY])

    def is_preflight(self, method: str, headers: dict[bytes, bytes]) -> bool:
        """Whether it is a preflight: a browser asks for a page of an allowed origin."""
        return (
            method == "OPTIONS"
            and b"access-control-request-method" in headers
            and headers.get(b"origin") in self._response_headers
        )

    def preflight_response(self, allow: bytes) -> Response:
        """The response to a preflight: these methods are allowed."""
        methods = [(b"allow", allow), (b"access-control-allow-methods", allow)]
        return Response(204, [*methods, *self._preflight_headers], b"")


def _headers_named_in(contract: Contract) -> tuple[set[str], set[str]]:
    """The headers of requests, and those of responses."""
    of_requests: set[str] = set()
    of_responses: set[str] = set()
    for item in contract.specification["paths"].values():
        for part in (item, *(item[method] for method in item.keys() & METHODS)):
            parameters = part.get("parameters", ())
            of_requests |= {each["name"] for each in parameters if each["in"] == "header"}
            for response in part.get("responses", {}).values():
                of_responses |= response.get("headers", {}).keys()
    return of_requests, {name for name in of_responses if not name.startswith("Access-Control-")}


def _joined(names: set[str]) -> bytes:
    return ", ".join(sorted(names)).encode()
