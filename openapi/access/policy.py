"""The access rules of the settings, and settings that contradict each other."""

from datetime import timedelta
from typing import TYPE_CHECKING

from openapi.access.hosts import Hosts, OpenModeHosts
from openapi.settings import Settings, WrongSettings, variable

if TYPE_CHECKING:
    from openapi.access.guard import Guard

SOURCES = "set ERRAND_JWKS_URL, ERRAND_KEY_FILE or ERRAND_PUBLIC_KEY."


def guard_of(settings: Settings) -> "Guard | None":
    """The guard of these settings; None in open mode, which does not import its libraries."""
    if not settings.requires_tokens:
        return None
    from openapi.access.guard import guard_with  # noqa: PLC0415

    return guard_with(settings)


def hosts_of(settings: Settings) -> Hosts:
    """The check of the Host header; in open mode it accepts no other names than these."""
    if settings.requires_tokens:
        return Hosts()
    return OpenModeHosts(settings.hosts, settings.cors_origins)


def validate_access_settings(settings: Settings) -> None:
    """Refuse settings that contradict each other, or that open all data without `--open`."""
    if complaint := _complaint(settings):
        raise WrongSettings(complaint)


def check_local_token(settings: Settings, lifetime: timedelta) -> None:
    """Refuse to make a token that the server would refuse."""
    if others := [name for name in settings.key_sources if name != "local_tokens"]:
        raise WrongSettings(f"{variable(others[0])} is set: tokens come from its issuer.")
    longest = settings.token_lifetime
    if longest is not None and lifetime.total_seconds() > longest:
        raise WrongSettings(f"ERRAND_TOKEN_LIFETIME={longest}: choose fewer seconds with --hours.")


def _complaint(settings: Settings) -> str | None:
    sources = [variable(name) for name in settings.key_sources]
    if len(sources) > 1:
        return f"{' and '.join(sources)} are set: keep the one whose tokens are to be accepted."
    return _token_complaint(settings, sources[0]) if sources else _open_complaint(settings)


def _token_complaint(settings: Settings, source: str) -> str | None:
    named, lacking = _expectations(settings)
    if settings.open:
        return f"{source} is set, and open mode as well: keep one of them."
    if settings.hosts:
        return f"{source} is set, and ERRAND_HOSTS is for open mode: keep one of them."
    if settings.local_tokens:
        return f"With {named}, {SOURCES}" if named else None
    return f"With {source}, set {lacking}: what tokens must have." if lacking else None


def _open_complaint(settings: Settings) -> str | None:
    named, _ = _expectations(settings)
    if named:
        return f"With {named}, {SOURCES}"
    if settings.open or settings.is_loopback_only:
        return None
    return (
        f"Without tokens, every client that reaches {settings.host} could read and change all data."
        " Set ERRAND_JWKS_URL, ERRAND_ISSUER and ERRAND_AUDIENCE, or, if that is what you want,"
        " start with --open."
    )


def _expectations(settings: Settings) -> tuple[str, str]:
    """The settings of what tokens must have: those that are set, and those that are not."""
    expected = {variable(name): getattr(settings, name) for name in ("issuer", "audience")}
    return (
        " and ".join(name for name, value in expected.items() if value),
        " and ".join(name for name, value in expected.items() if not value),
    )
