"""Tokens for the users of the workloads, as an issuer would sign them."""

import time
from collections.abc import Generator
from functools import cache

import httpx

from tests.support.issuer import SigningKey, new_private

ISSUER = "https://issuer.example"
A_DAY = 24 * 60 * 60
# The default would refuse the benchmark; this is the highest limit that can be set.
REQUESTS_A_MINUTE = "1000000"
NOTE = (
    "With tokens: signed with EdDSA, one a user, 1,001 users. Each process verifies a token when\n"
    "it first sees it, for the most part while warming up, and remembers it from then on; and it\n"
    f"counts every request against its user's {int(REQUESTS_A_MINUTE):,} a minute."
)


class Tokens(httpx.Auth):
    """A key, what a server must know to trust it, and a token for each user."""

    def __init__(self) -> None:
        self._key = SigningKey("EdDSA", new_private("EdDSA"))
        self.authorization = cache(self._authorization)

    @property
    def settings(self) -> dict[str, str]:
        """Those of a server that takes these tokens."""
        return {
            "ERRAND_PUBLIC_KEY": self._key.pem,
            "ERRAND_ISSUER": ISSUER,
            "ERRAND_AUDIENCE": ISSUER,
            "ERRAND_RATE_LIMIT": REQUESTS_A_MINUTE,
        }

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request as the user whose tasks it is about."""
        request.headers["Authorization"] = self.authorization(request.url.path.split("/")[2])
        yield request

    def _authorization(self, user: str) -> str:
        now = int(time.time())
        claims = {"sub": user, "iss": ISSUER, "aud": ISSUER, "iat": now, "exp": now + A_DAY}
        return f"Bearer {self._key.sign({'alg': self._key.algorithm}, claims)}"
