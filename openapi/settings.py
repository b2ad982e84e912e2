"""The settings: from flags, from the environment, or from a file named `.env`."""

import os
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.postgres.database_url import check_url
from db.postgres.pool_options import PoolOptions
from db.quotas import MAX_LISTS, MAX_REPLAY_BYTES, MAX_TASKS
from openapi.setting_types import HostName, Listed, Network, Origin, RedisUrl

PREFIX = "ERRAND_"
USUAL_RATE_LIMIT = 600
OF_COMMANDS = {"ERRAND_URL", "ERRAND_TOKEN"}
"""Variables of the commands that are clients of a server: `errand export`, `import` and `mcp`."""

SECRET = {"DATABASE_URL", "ERRAND_READ_URL", "ERRAND_REDIS_URL"}


class WrongSettings(Exception):
    """Some settings are not valid; the text names every one."""


def default_data_dir() -> Path:
    """The system's folder for such data; the database's own user cannot enter root's home."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/errand")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "errand"


class Settings(BaseSettings):
    """Every setting, with its default and its bounds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, validate_by_name=True
    )

    database_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="A libpq URL, of one host or several; without it, PostgreSQL is embedded.",
    )
    read_url: Annotated[str, AfterValidator(check_url)] | None = Field(
        None, description="A hot standby, or several, for reads of many rows."
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Where the embedded PostgreSQL keeps its data.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="The port of the metrics for Prometheus."
    )
    metrics_host: str = Field("127.0.0.1", description="The address of the metrics.")
    workers: int = Field(1, ge=1, le=64, description="How many processes serve.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )
    body_limit: int = Field(
        1024 * 1024, ge=1, le=1024**3, description="The largest body of a request, in bytes."
    )
    import_limit: int = Field(
        256 * 1024 * 1024, ge=1, le=1024**4, description="The largest file to import, in bytes."
    )
    request_log: bool = Field(
        True, description="Log each request on standard output: as JSON, or short on a terminal."
    )
    tracing: bool = Field(
        False, description="Send traces to an OpenTelemetry collector, as OTEL_* say."
    )
    mcp: bool = Field(
        False, description="Serve tools for agents at `/mcp` (Model Context Protocol)."
    )
    request_timeout: float = Field(
        30, gt=0, le=600, description="Seconds that a request may take to arrive whole."
    )
    # Longer than proxies keep their connections: they must be the ones to close them.
    idle_timeout: float = Field(
        75, gt=0, le=3600, description="Seconds that a connection may wait for a next request."
    )
    open: bool = Field(
        False, description="Need no tokens, even on an address that other machines can reach."
    )
    hosts: Annotated[tuple[HostName, ...], *Listed] = Field(
        (), description="Names by which open mode may be addressed, beside localhost."
    )
    jwks_url: str | None = Field(
        None,
        min_length=1,
        description="Where the issuer of tokens publishes its keys; https, or on loopback.",
    )
    key_file: Path | None = Field(
        None, description="Or a file with its keys, as JWKS or PEM; read again when it changes."
    )
    public_key: str | None = Field(None, min_length=1, description="Or its one public key, as PEM.")
    local_tokens: bool = Field(
        False,
        description="Or accept the tokens that `errand token` makes, for a trial.",
    )
    issuer: str | None = Field(None, min_length=1, description="The `iss` that tokens must have.")
    audience: str | None = Field(None, min_length=1, description="The `aud` that tokens must have.")
    user_claim: str = Field("sub", min_length=1, description="The claim that names the user.")
    token_leeway: float = Field(
        10, ge=0, le=300, description="Seconds by which the issuer's clock may be off."
    )
    token_lifetime: int | None = Field(
        None, ge=1, description="The longest lifetime of a token in seconds, from `iat` to `exp`."
    )
    refuse_id_tokens: bool = Field(
        False, description="Refuse tokens with the claims of an ID token: `nonce`, `at_hash`."
    )
    require_at_jwt: bool = Field(
        False, description="Accept only tokens whose `typ` is at+jwt (RFC 9068)."
    )
    answer_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds until a response must start."
    )
    # Below the ten seconds after which many clients give a response up.
    long_poll_timeout: int = Field(
        9, ge=1, le=300, description="The most seconds that a client may `wait` for changes."
    )
    stream_heartbeat: float = Field(
        15,
        gt=0,
        le=300,
        description="Seconds after which a stream without changes sends a comment.",
    )
    stream_limit: int = Field(
        9000, ge=1, le=1_000_000, description="Streams of changes that each worker sends."
    )
    user_stream_limit: int = Field(
        20, ge=1, le=1_000_000, description="Those of one user; a new one ends the oldest."
    )
    drain_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds that a client may take to read part of a response."
    )
    connection_limit: int = Field(
        10_000, ge=1, le=1_000_000, description="Connections of clients that each worker takes."
    )
    address_connection_limit: int = Field(
        1000, ge=1, le=1_000_000, description="Connections of one address that each worker takes."
    )
    rate_limit: int | None = Field(
        None, ge=0, le=1_000_000, description="Requests a minute of each caller; 0 for any number."
    )
    redis_url: RedisUrl | None = Field(
        None, description="Where all workers count requests, and announce changes to each other."
    )
    trusted_proxies: Annotated[tuple[Network, ...], *Listed] = Field(
        (), description="Proxies whose X-Forwarded-For and X-Request-Id are trusted."
    )
    cors_origins: Annotated[tuple[Origin, ...], *Listed] = Field(
        (), description="Origins whose pages may call the API."
    )
    replay_hours: int = Field(
        24, ge=1, le=8760, description="Hours that a response is stored under its Idempotency-Key."
    )
    max_replay_bytes: int = Field(
        MAX_REPLAY_BYTES,
        ge=1,
        le=1024**4,
        description="Bytes of such responses from which on no more are stored for one user.",
    )
    require_if_match: bool = Field(
        False, description="Whether a change must name the version that it changes."
    )
    max_tasks: int = Field(
        MAX_TASKS,
        ge=1,
        le=1_000_000_000,
        description="The most tasks stored for one user, those in the trash included.",
    )
    max_lists: int = Field(
        MAX_LISTS,
        ge=1,
        le=1000,
        description="The most lists stored for one user, those in the trash included.",
    )
    trash_days: int = Field(
        30, ge=1, le=3650, description="Days after which a deleted task is purged."
    )
    pool_size: int = Field(8, ge=1, le=256, description="Database connections of each worker.")
    connect_timeout: float = Field(
        10, gt=0, le=120, description="Seconds that connecting to one database host may take."
    )
    wait_timeout: float = Field(
        1, gt=0, le=60, description="Seconds that a request waits for the database to be free."
    )
    overload_timeout: float = Field(
        0.25, gt=0, le=60, description="The same, once requests have waited that long for a while."
    )
    statement_timeout: float = Field(
        10, gt=0, le=600, description="Seconds that a statement may take."
    )

    @property
    def key_sources(self) -> list[str]:
        """The settings with keys of tokens that are set."""
        sources = ("jwks_url", "key_file", "public_key", "local_tokens")
        return [name for name in sources if getattr(self, name)]

    @property
    def requires_tokens(self) -> bool:
        """Whether requests need a token; else it is open mode."""
        return bool(self.key_sources)

    @property
    def is_loopback_only(self) -> bool:
        """Whether only clients on this machine can connect."""
        if self.open or self.trusted_proxies:
            return False
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_local_open_mode(self) -> bool:
        """Whether it needs no tokens, because only clients on this machine can connect."""
        return self.is_loopback_only and not self.requires_tokens

    @property
    def requests_a_minute(self) -> int:
        """The quota of a caller; 0 is any number: in open mode on loopback, unless it is set."""
        if self.rate_limit is not None:
            return self.rate_limit
        return 0 if self.is_local_open_mode else USUAL_RATE_LIMIT

    def pool_options(self, url: str | None = None) -> PoolOptions:
        """The options of the pool of connections to the database, or to another URL."""
        url = url or self.database_url
        assert url is not None, "an embedded database is started first"
        return PoolOptions(
            url=url,
            size=self.pool_size,
            connect_timeout=self.connect_timeout,
            wait_timeout=self.wait_timeout,
            overload_timeout=self.overload_timeout,
            statement_timeout=self.statement_timeout,
        )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def load_settings(**flags: Any) -> Settings:
    """Flags come first, then the environment, then `.env`; every fault is in one message."""
    values = {name: value for name, value in flags.items() if value is not None}
    complaints = _unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        complaints += [
            _complaint(each["loc"], each["msg"], each["input"]) for each in error.errors()
        ]
    if complaints:
        raise WrongSettings("\n".join(["Some settings are wrong:", *complaints]))
    return settings


def _complaint(location: tuple[int | str, ...], message: str, value: Any) -> str:
    name = str(location[0])
    shown = name if name not in Settings.model_fields else variable(name)
    # It may hold a password.
    return f"  {shown}: {message}" if shown in SECRET else f"  {shown}={value}: {message}"


def _unknown_variables() -> list[str]:
    """Complaints about variables that are no settings: they may be misspelt."""
    known = {variable(name) for name in Settings.model_fields} | OF_COMMANDS
    present = {*os.environ, *dotenv_values(".env")}
    unknown = sorted(name for name in present if name.startswith(PREFIX) and name not in known)
    return [f"  {name}: there is no such setting{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: set[str]) -> str:
    # The prefix, which all share, would make any two alike.
    names = {each.removeprefix(PREFIX): each for each in sorted(known)}
    similar = get_close_matches(name.removeprefix(PREFIX), names, 1)
    return f"; did you mean {names[similar[0]]}?" if similar else ""
