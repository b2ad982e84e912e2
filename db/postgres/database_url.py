"""The database's URL, and the hosts it names."""

import os
from ipaddress import ip_address

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from db.postgres.schema_version import NEWEST

# Without the first four, a request would wait for minutes if the network drops packets.
ALWAYS = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
    "client_encoding": "UTF8",
    "application_name": f"errand {NEWEST}",
}

ENCRYPTED = {"require", "verify-ca", "verify-full"}


def single_host_urls(url: str) -> list[str]:
    """The URL once for each of its hosts.

    libpq ignores connect_timeout on asynchronous connections: a host whose packets are dropped
    would keep it from the next one. So each host gets its own attempt and deadline.
    """
    options = {**ALWAYS, **parse_dsn(url)}
    hosts = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    one_each = zip(hosts, ports, strict=True)
    return [
        make_dsn(**{**options, "host": host or None, "port": port or None})
        for host, port in one_each
    ]


def check_url(url: str) -> str:
    """The URL, if libpq understands it."""
    try:
        single_host_urls(url)
    except (psycopg2.Error, ValueError):
        # libpq's own message would show the password
        raise ValueError(
            "libpq does not understand it; it takes postgresql://user:password@host:port/database,"
            " or several hosts with as many ports, or one"
        ) from None
    return url


def host_of(url: str) -> str:
    """The host of a URL that has one, for people to read."""
    return str(parse_dsn(url).get("host", "the local socket"))


def has_password(url: str) -> bool:
    """Whether the URL contains a password."""
    try:
        return "password" in parse_dsn(url)
    except psycopg2.Error:
        return False


def hosts_without_tls(url: str) -> list[str]:
    """The hosts on other machines with which libpq may use an unencrypted connection."""
    options = parse_dsn(url)
    if options.get("sslmode", os.environ.get("PGSSLMODE")) in ENCRYPTED:
        return []
    hosts = options.get("host") or options.get("hostaddr") or os.environ.get("PGHOST", "")
    return [host for host in hosts.split(",") if not _is_this_machine(host)]


def _is_this_machine(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
