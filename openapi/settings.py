"""What can be set, by the environment, by a file named `.env`, or by flags."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from db.connection import check_url
from db.pool import PoolOptions

PREFIX = "ERRAND_"


class WrongSettings(Exception):
    """Some settings have values that they can't have; the text names every one."""


def _default_data_dir() -> Path:
    """Where this system keeps such data; root's home is closed to the database's own user."""
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
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Where the embedded PostgreSQL keeps its data.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="How many processes serve.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="How much is logged."
    )
    body_limit: int = Field(
        1024 * 1024, ge=1, le=1024**3, description="The largest body of a request, in bytes."
    )
    request_timeout: float = Field(
        30, gt=0, le=600, description="Seconds that a request may take to come whole."
    )
    require_if_match: bool = Field(
        False, description="Whether a change must name the version that it changes."
    )
    trash_days: int = Field(
        30, ge=1, le=3650, description="Days after which a deleted task is purged."
    )
    pool_size: int = Field(8, ge=1, le=256, description="Database connections of each worker.")
    connect_timeout: float = Field(
        10, gt=0, le=120, description="Seconds that connecting to one database host may take."
    )
    wait_timeout: float = Field(
        5, gt=0, le=60, description="Seconds that a request waits for a free connection."
    )
    statement_timeout: float = Field(
        10, gt=0, le=600, description="Seconds that a statement may take."
    )
    prepare: bool = Field(
        True, description="Prepare statements on each connection; off for transaction poolers."
    )

    def pool_options(self) -> PoolOptions:
        """What the connection pool wants to know."""
        assert self.database_url is not None, "an embedded database is started first"
        return PoolOptions(
            url=self.database_url,
            size=self.pool_size,
            connect_timeout=self.connect_timeout,
            wait_timeout=self.wait_timeout,
            statement_timeout=self.statement_timeout,
            prepare=self.prepare,
        )


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def load_settings(**flags: Any) -> Settings:
    """Flags come first, then the environment, then `.env`; every fault is in one message."""
    given = {name: value for name, value in flags.items() if value is not None}
    complaints = _unknown_variables()
    try:
        settings = Settings(**given)
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
    told = shown if shown == "DATABASE_URL" else f"{shown}={value}"
    return f"  {told}: {message}"


def _unknown_variables() -> list[str]:
    """A misspelt variable would be ignored, and its writer surprised."""
    known = {variable(name) for name in Settings.model_fields}
    given = {*os.environ, *dotenv_values(".env")}
    return [
        f"  {name}: there is no such setting"
        for name in sorted(given)
        if name.startswith(PREFIX) and name not in known
    ]
