"""Headers of trusted proxies: the address of the client, and the id of the request."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from openapi.http.request import Request

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,100}")


class Networks:
    """A set of addresses, given as networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(each) for each in networks]

    def __contains__(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


class TrustedProxies:
    """Proxies whose X-Forwarded-For and X-Request-Id are trusted."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._trusts = lru_cache(maxsize=4096)(Networks(networks).__contains__)

    def apply(self, request: Request) -> None:
        """Set the client and the id of a request from the headers of a trusted proxy."""
        if request.client is None or not self._trusts(request.client):
            return
        forwarded = request.headers.get(b"x-forwarded-for", b"").decode("latin-1")
        request_id = request.headers.get(b"x-request-id", b"")
        if forwarded:
            request.client = self._client(forwarded)
        if REQUEST_ID.fullmatch(request_id):
            request.id = request_id.decode()

    def _client(self, forwarded: str) -> str:
        """The last address that is not a proxy: a client can invent the addresses before it."""
        addresses = [_address(each) for each in forwarded.split(",")]
        return next((each for each in reversed(addresses) if not self._trusts(each)), addresses[0])


def _address(text: str) -> str:
    """An address without its port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
