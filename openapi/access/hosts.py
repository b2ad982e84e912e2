"""Which hosts requests may be addressed to, and from which sites open mode accepts writes."""

import re
from collections.abc import Collection
from ipaddress import ip_address

from openapi.http.problems import CROSS_SITE, MALFORMED, WRONG_HOST, Problem
from openapi.http.request import Request

# A host that is accepted is remembered: so it is no longer than the longest name (RFC 1035, 2.3.4).
HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]{1,255})\]|([A-Za-z0-9_.-]{1,255}))(?::[0-9]{0,5})?")
MOST_REMEMBERED = 1000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

NOT_ONE_HOST = "There must be one Host, such as errand.example.com:8000."
# An attacker can make any other name resolve to this address (DNS rebinding).
UNKNOWN_NAME = (
    "Without tokens, Host must be an IP address, localhost, or a name that ERRAND_HOSTS lists."
)
NOT_THIS_SITE = (
    "Without tokens, a page of another site may not write, unless CORS allows its origin."
)


class Hosts:
    """Refuses requests whose Host is missing, doubled or malformed (RFC 9112, 3.2)."""

    def __init__(self) -> None:
        # A Host that was accepted before costs one look-up.
        self._accepted: set[bytes | None] = set()

    def check(self, request: Request) -> None:
        """Raise unless the request has one well-formed Host."""
        if request.headers.get(b"host") not in self._accepted:
            self._accept(request)

    def _accept(self, request: Request) -> None:
        host = request.headers.get(b"host")
        if host is None:
            if request.http_version == "1.0":
                return
            raise Problem(MALFORMED, NOT_ONE_HOST)
        match = HOST.fullmatch(host)
        if match is None:
            raise Problem(MALFORMED, NOT_ONE_HOST)
        self._check_name(_name_of(match), bracketed=match[1] is not None)
        if len(self._accepted) >= MOST_REMEMBERED:
            self._accepted.clear()
        self._accepted.add(host)

    def _check_name(self, name: str, *, bracketed: bool) -> None:
        if bracketed and not _is_address(name):
            raise Problem(MALFORMED, NOT_ONE_HOST)


class OpenModeHosts(Hosts):
    """Also refuses other host names, and writes from pages of other sites.

    Open mode has no tokens. A page could make its own host name resolve to this server (DNS
    rebinding), and any page can send requests that need no preflight (CSRF).
    """

    def __init__(self, names: Collection[str], origins: Collection[str]) -> None:
        super().__init__()
        self._names = frozenset({"localhost", *names})
        self._origins = frozenset(origin.encode() for origin in origins)

    def check(self, request: Request) -> None:
        """Raise unless the Host is accepted and no page of another site writes."""
        headers = request.headers
        if headers.get(b"host") not in self._accepted:
            self._accept(request)
        if b"origin" in headers or b"sec-fetch-site" in headers:
            self._refuse_writes_of_other_sites(request)

    def _refuse_writes_of_other_sites(self, request: Request) -> None:
        headers = request.headers
        origin = headers.get(b"origin")
        if request.method in SAFE_METHODS or origin in self._origins:
            return
        site = headers.get(b"sec-fetch-site")
        # Browsers send it to this machine and over TLS. To another machine they send Origin alone.
        is_other_site = _is_other_host(origin, headers) if site is None else site == b"cross-site"
        if is_other_site:
            raise Problem(CROSS_SITE, NOT_THIS_SITE)

    def _check_name(self, name: str, *, bracketed: bool) -> None:
        super()._check_name(name, bracketed=bracketed)
        if name not in self._names and not _is_address(name):
            raise Problem(WRONG_HOST, UNKNOWN_NAME)


def _is_other_host(origin: bytes | None, headers: dict[bytes, bytes]) -> bool:
    """Whether the page is of another host; another port of the same host is the same site."""
    page = HOST.fullmatch((origin or b"").partition(b"://")[2])
    server = HOST.fullmatch(headers.get(b"host", b""))
    return page is None or server is None or _name_of(page) != _name_of(server)


def _name_of(host: re.Match[bytes]) -> str:
    name: bytes = host[1] or host[2]
    return name.decode().lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
