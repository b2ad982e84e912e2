"""Types of settings; each refuses values that cannot work."""

import re
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")
DEFAULT_PORTS = {"http": 80, "https": 443}
REDIS = ("redis://", "rediss://", "unix://")
HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def _origin(text: str) -> str:
    """An origin as browsers spell it: in any other spelling it would never match."""
    if not ORIGIN.fullmatch(text):
        raise ValueError(f"{text!r} is not an origin, such as https://app.example.com")
    parts = urlsplit(text)
    if parts.port == DEFAULT_PORTS[parts.scheme]:
        raise ValueError(f"browsers leave out the port of {text!r}")
    return text


def _redis_url(text: str) -> str:
    if not text.startswith(REDIS):
        raise ValueError(f"it begins with {' or '.join(REDIS)}")
    from redis.connection import parse_url  # noqa: PLC0415

    try:
        parse_url(text)  # type: ignore[no-untyped-call]
    except ValueError:
        # the library's own message would show the password
        raise ValueError("it cannot be read as a Redis URL") from None
    return text


def _host_name(text: str) -> str:
    if not HOST_NAME.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a host name like errand.example.com; leave out a port")
    return text.lower()


def _items(text: Any) -> Any:
    """The items of a list with commas."""
    return [each.strip() for each in text.split(",")] if isinstance(text, str) else text


def _network(text: str) -> str:
    """An address, or a network of addresses."""
    return str(ip_network(text))


Listed = (NoDecode, BeforeValidator(_items))
Origin = Annotated[str, AfterValidator(_origin)]
Network = Annotated[str, AfterValidator(_network)]
HostName = Annotated[str, AfterValidator(_host_name)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
