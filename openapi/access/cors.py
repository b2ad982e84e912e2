"""Pages of other origins that may call the API, and what they may send and read (CORS)."""

from collections.abc import Sequence

from connexion.http_facts import METHODS

from openapi.contract.document import Contract
from openapi.http.response import Headers, Response

VARY = (b"vary", b"Origin")
REMEMBERED_SECONDS = b"7200"


class Origins:
    """The origins that are allowed; no cookies are, for there are none: tokens are sent by name."""

    def __init__(self, allowed: Sequence[str], contract: Contract) -> None:
        taken, told = _headers_named_in(contract)
        exposed = (b"access-control-expose-headers", _listed(told | {"Allow"}))
        self._told: dict[bytes | None, Headers] = {
            origin.encode(): [VARY, (b"access-control-allow-origin", origin.encode()), exposed]
            for origin in allowed
        }
        self._leave = [
            (b"access-control-allow-headers", _listed(taken | {"Authorization", "Content-Type"})),
            (b"access-control-max-age", REMEMBERED_SECONDS),
        ]

    def told(self, origin: bytes | None) -> Headers:
        """What to say with every answer; to others, only that it would differ."""
        return self._told.get(origin, [VARY])

    def are_asked(self, method: str, headers: dict[bytes, bytes]) -> bool:
        """Whether a browser asks before it sends what a page of an allowed origin wants to."""
        return (
            method == "OPTIONS"
            and b"access-control-request-method" in headers
            and headers.get(b"origin") in self._told
        )

    def leave(self, allow: bytes) -> Response:
        """Yes; these methods. An unknown path too, so that the page may see that it is."""
        methods = [(b"allow", allow), (b"access-control-allow-methods", allow)]
        return Response(204, [*methods, *self._leave], b"")


def _headers_named_in(contract: Contract) -> tuple[set[str], set[str]]:
    """Those that requests may have, and those that answers may have."""
    taken: set[str] = set()
    told: set[str] = set()
    for item in contract.specification["paths"].values():
        for part in (item, *(item[method] for method in item.keys() & METHODS)):
            taken |= {each["name"] for each in part.get("parameters", ()) if each["in"] == "header"}
            for response in part.get("responses", {}).values():
                told |= response.get("headers", {}).keys()
    return taken, {name for name in told if not name.startswith("Access-Control-")}


def _listed(names: set[str]) -> bytes:
    return ", ".join(sorted(names)).encode()
