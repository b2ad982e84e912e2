"""What is asked of those who come: by the contract, and by the settings."""

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from openapi.settings import Settings, WrongSettings, variable

if TYPE_CHECKING:
    from openapi.access.guard import Guard


class SampleUser(NamedTuple):
    """Whom open mode takes everybody for."""

    user_id: UUID = UUID("0190a1b2-0000-7000-8000-00000000a11c")
    issuer: None = None
    subject: None = None
    expires_at: None = None


SAMPLE_USER = SampleUser()


def guard_of(settings: Settings) -> "Guard | None":
    """The guard that these settings ask for; none in open mode, which spares its memory, too."""
    if not settings.asks_for_tokens:
        return None
    from openapi.access.guard import guard_with  # noqa: PLC0415

    return guard_with(settings)


def check_who_may_come_in(settings: Settings) -> None:
    """Refuse settings that let in others than whoever wrote them may think."""
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
    expected = {variable(name): getattr(settings, name) for name in ("issuer", "audience")}
    named = " and ".join(name for name, value in expected.items() if value)
    lacking = " and ".join(name for name, value in expected.items() if not value)
    if named and (settings.local_tokens or not sources):
        return f"With {named}, set ERRAND_JWKS_URL, ERRAND_KEY_FILE or ERRAND_PUBLIC_KEY."
    if len(sources) > 1:
        return f"{' and '.join(sources)} are set: keep the one whose tokens are to be taken."
    if sources and settings.open:
        return f"{sources[0]} is set, and open mode as well: keep one of them."
    if sources and lacking and not settings.local_tokens:
        return f"With {sources[0]}, set {lacking}: what tokens must bear."
    if not sources and not settings.open and not settings.is_for_this_machine_alone:
        return (
            f"Without tokens, whoever reaches {settings.host} could read and change all data. Set "
            "ERRAND_JWKS_URL, ERRAND_ISSUER and ERRAND_AUDIENCE, or, if that is what you want, "
            "start with --open."
        )
    return None
