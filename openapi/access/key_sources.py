"""The sources of the keys that verify tokens: an issuer's URL, a file, or a setting."""

import asyncio
import ipaddress
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from db.private_files import read_private
from openapi.access.keys import Key, KeySet, Reader, UnusableKeys, jwk_set, jwk_set_or_pem, pem_key

log = logging.getLogger("errand.tokens")

TIMEOUT = 3.0
LARGEST = 256 * 1024

# Seconds, of an issuer and of a file.
INTERVAL, PAUSE = 300.0, 10.0
INTERVAL_OF_FILES, PAUSE_OF_FILES = 5.0, 1.0
LONGEST_OUTAGE = 24 * 3600.0

HEADERS = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}

Source = Callable[[], Awaitable[bytes]]


class KeysUnavailable(Exception):
    """No key is available to verify a token with."""


class Keys:
    """The trusted keys, refreshed in the background.

    A request waits for a fetch only until the first fetch has ended, or if its key id is unknown.
    All requests wait for the same fetch, and there is at most one per pause. While fetches fail, no
    request waits: the background tries again.
    """

    def __init__(
        self,
        source: Source,
        read: Reader,
        *,
        name: str,
        interval: float = INTERVAL,
        pause: float = PAUSE,
        longest_outage: float = LONGEST_OUTAGE,
    ) -> None:
        """Fetch from the source at each `interval`; after a failure, after each `pause`."""
        self._source = source
        self._read = read
        self._name = name
        self._interval = interval
        self._pause = pause
        self._longest_outage = longest_outage
        self._document: bytes | None = None
        self._keys: KeySet = {}
        self._failing = False
        self._fetch: asyncio.Task[None] | None = None
        self._next: asyncio.TimerHandle | None = None
        self._pause_ends = -math.inf

    async def __aenter__(self) -> Self:
        """Begin to fetch without waiting: the issuer may start after this server."""
        self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop fetching."""
        if self._next is not None:
            self._next.cancel()
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.wait([self._fetch])

    async def find(self, name: str | None) -> Key | None:
        """The key of that id, if the issuer has it."""
        # A fetch in progress may have read the keys before the issuer had this one.
        for _ in range(2 if self._is_fetching() else 1):
            if self._current(name) is None and self._may_fetch():
                await self._fetched_once()
        key = self._current(name)
        if key is None and (self._failing or self._document is None):
            raise KeysUnavailable("The keys that tokens are signed with are not available now.")
        return key

    def _current(self, name: str | None) -> Key | None:
        key = self._keys.get(name) or self._keys.get(None)
        return key if key is not None and time.time() < key.valid_until else None

    def _may_fetch(self) -> bool:
        if self._failing:
            return False
        return self._is_fetching() or asyncio.get_running_loop().time() >= self._pause_ends

    def _is_fetching(self) -> bool:
        return self._fetch is not None and not self._fetch.done()

    async def _fetched_once(self) -> None:
        """Wait for the one fetch; a request that is cancelled does not cancel it for others."""
        fetch = self._fetch
        if fetch is None or fetch.done():
            fetch = self._begin()
            self._pause_ends = asyncio.get_running_loop().time() + self._pause
        await asyncio.wait([fetch])

    def _begin(self) -> "asyncio.Task[None]":
        if self._next is not None:
            self._next.cancel()
        self._fetch = asyncio.create_task(self._fetched())
        return self._fetch

    def _begin_again(self) -> None:
        if not self._is_fetching():
            self._begin()

    async def _fetched(self) -> None:
        try:
            self.take(await self._source())
        except Exception as error:  # requests continue, whatever the issuer sends
            self._fail(error)
        loop = asyncio.get_running_loop()
        wait = self._pause if self._failing else self._interval
        self._next = loop.call_later(wait, self._begin_again)

    def take(self, document: bytes) -> None:
        """Trust exactly the keys of the document; raises if it is unusable, and changes nothing."""
        if document != self._document:
            self._trust(self._read(document))
            self._document = document
        if self._failing:
            log.info("the keys of tokens are available again from %s", self._name)
        self._failing = False
        for key in self._keys.values():
            key.valid_until = time.time() + self._longest_outage

    def _trust(self, keys: KeySet) -> None:
        """Replace the keys: a key that stays is the same object; tokens of removed keys end now."""
        before, self._keys = self._keys, keys
        for name, known in before.items():
            new = keys.get(name)
            if new is not None and new.is_same_as(known):
                keys[name] = known
            else:
                known.valid_until = -math.inf

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            reason = str(error) or type(error).__name__
            log.warning("the keys of tokens are not available from %s: %s", self._name, reason)
        self._failing = True


def fixed_key(pem: str) -> Keys:
    """One key in PEM, which never changes."""
    document = pem.encode()

    async def source() -> bytes:
        return document

    keys = Keys(source, pem_key, name="the settings", longest_outage=math.inf)
    keys.take(document)
    return keys


def keys_in_file(
    path: Path, *, interval: float = INTERVAL_OF_FILES, pause: float = PAUSE_OF_FILES
) -> Keys:
    """The keys in a file, which is read again every few seconds."""

    async def read() -> bytes:
        return _content(path)

    keys = Keys(read, jwk_set_or_pem, name=str(path), interval=interval, pause=pause)
    keys.take(_content(path))
    return keys


def _content(path: Path) -> bytes:
    try:
        return _bounded(read_private(path, LARGEST + 1))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnusableKeys(f"{path} cannot be read: {reason}") from None


def keys_at(
    url: str,
    *,
    interval: float = INTERVAL,
    pause: float = PAUSE,
    longest_outage: float = LONGEST_OUTAGE,
    timeout: float = TIMEOUT,
) -> Keys:
    """The keys that an issuer publishes."""
    address = checked_url(url)
    is_secure = address.scheme == "https"
    context = _authorities() if is_secure else False

    async def fetch() -> bytes:
        async with (
            asyncio.timeout(timeout),
            # A proxy is for other machines, not for the loopback address.
            httpx.AsyncClient(verify=context, timeout=timeout, trust_env=is_secure) as client,
            client.stream("GET", address, headers=HEADERS) as response,
        ):
            return await _received(response)

    return Keys(
        fetch, jwk_set, name=url, interval=interval, pause=pause, longest_outage=longest_outage
    )


def _authorities() -> ssl.SSLContext:
    """The certificate authorities; reading them takes tens of milliseconds, so it is done once."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise UnusableKeys(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}") from None


async def _received(response: httpx.Response) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise UnusableKeys(f"the response is {response.status_code}, not 200")
    document = b""
    async for chunk in response.aiter_raw():
        document = _bounded(document + chunk)
    return document


def _bounded(document: bytes) -> bytes:
    if len(document) > LARGEST:
        raise UnusableKeys(f"a set of keys may have {LARGEST:,} bytes, this one has more")
    return document


def checked_url(url: str) -> httpx.URL:
    """The URL of a JWK set; raises unless the connection to it can be trusted."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UnusableKeys(f"{url!r} is not a URL: {error}") from None
    if not address.host or address.userinfo:
        raise UnusableKeys("the URL of the keys must name a host, and no user or password")
    if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(address.host)):
        raise UnusableKeys(
            f"{url!r} must begin with https: an attacker who changes the keys in transit can sign"
            " tokens for every user (http is for the loopback address only)"
        )
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
