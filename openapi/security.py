"""Who may come in: only who brings a valid token, and to nobody's data but their own."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from uuid import UUID

from openapi import local_tokens
from openapi.contract import Unsupported, Where
from openapi.key_sources import Keys, KeysUnavailable, fixed_key, keys_at, keys_in_file
from openapi.keys import UnusableKeys
from openapi.problems import FORBIDDEN, KEYS_AWAY, UNAUTHENTICATED, Problem
from openapi.settings import Settings, WrongSettings, variable
from openapi.tokens import Caller, InvalidToken, Verifier

OWNER = "user_id"
REALM = b'Bearer realm="errand"'
UNKNOWN = "This operation needs a token: send it as `Authorization: Bearer …`."
NOT_YOURS = "The token is another user's than the path's; GET /api/me tells whose it is."


class SampleUser(NamedTuple):
    """Whom open mode takes everybody for."""

    user_id: UUID = UUID("0190a1b2-0000-7000-8000-00000000a11c")
    issuer: None = None
    subject: None = None
    expires_at: None = None


SAMPLE_USER = SampleUser()


class Guard:
    """Lets in who brings a valid bearer token."""

    def __init__(self, keys: Keys, **expected: Any) -> None:
        """Keys are kept fresh from where the guard is entered until it is left."""
        self._keys = keys
        self._verifier = Verifier(keys, **expected)

    async def __aenter__(self) -> None:
        await self._keys.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._keys.__aexit__(*error)

    async def admit(self, headers: Mapping[bytes, bytes], path: Mapping[str, str]) -> Caller:
        """Say who it is that sends the request, if the path is theirs."""
        caller = await self._caller(headers.get(b"authorization"))
        owner = path.get(OWNER)
        if owner is not None and not _is(owner, caller.user_id):
            raise Problem(FORBIDDEN, NOT_YOURS)
        return caller

    async def _caller(self, credentials: bytes | None) -> Caller:
        if credentials is None:
            raise _unauthenticated(REALM, UNKNOWN)
        scheme, _, token = credentials.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _unauthenticated(REALM, UNKNOWN)
        token = token.strip(b" ")
        try:
            return self._verifier.remembered(token) or await self._verifier.verify(token)
        except InvalidToken as error:
            told = b'%b, error="invalid_token", error_description="%b"'
            raise _unauthenticated(told % (REALM, str(error).encode()), str(error)) from None
        except KeysUnavailable as error:
            retry = (b"retry-after", b"1")
            raise Problem(KEYS_AWAY, str(error), headers=[retry]) from error


def _unauthenticated(challenge: bytes, detail: str) -> Problem:
    return Problem(UNAUTHENTICATED, detail, headers=[(b"www-authenticate", challenge)])


def _is(owner: str, user_id: UUID) -> bool:
    """Whether the text is that id; one that is no id at all is told so by its own check."""
    try:
        return UUID(owner) == user_id
    except ValueError:
        return True


def guard_of(settings: Settings) -> Guard | None:
    """The guard that these settings ask for; none in open mode."""
    if not settings.asks_for_tokens:
        return None
    try:
        keys = _keys(settings)
    except UnusableKeys as error:
        raise WrongSettings(f"{variable(settings.key_sources[0])}: {error}") from error
    return Guard(
        keys,
        issuer=local_tokens.ISSUER if settings.local_tokens else settings.issuer,
        audience=local_tokens.AUDIENCE if settings.local_tokens else settings.audience,
        leeway=settings.token_leeway,
        claim=settings.user_claim,
    )


def _keys(settings: Settings) -> Keys:
    if settings.jwks_url:
        return keys_at(settings.jwks_url)
    if settings.key_file:
        return keys_in_file(settings.key_file)
    return fixed_key(settings.public_key or local_tokens.public_key(settings.data_dir))


def requires_token(described: Any, where: Where) -> bool:
    """Whether an operation asks for a bearer token; whatever else it asks for is not supported."""
    where = (*where, "security")
    if not described.security:
        return False
    if len(described.security) > 1 or len(described.security[0]) != 1:
        raise Unsupported("alternatives or combinations of security are not supported", where)
    [(name, scopes)] = described.security[0].items()
    scheme = (described.security_schemes or {}).get(name, {})
    if (scheme.get("type"), scheme.get("scheme")) != ("http", "bearer") or scopes:
        raise Unsupported("no security but bearer tokens, without scopes, is supported", where)
    return True


def check_who_may_come_in(settings: Settings) -> None:
    """Refuse settings that let in others than whoever wrote them may think."""
    if complaint := _complaint(settings):
        raise WrongSettings(complaint)


def check_local_tokens(settings: Settings) -> None:
    """Refuse to make tokens where there is an issuer for that: they would not be taken."""
    if others := [name for name in settings.key_sources if name != "local_tokens"]:
        raise WrongSettings(f"{variable(others[0])} is set: tokens come from its issuer.")


def _complaint(settings: Settings) -> str | None:
    sources = [variable(name) for name in settings.key_sources]
    lacking = [variable(name) for name in ("issuer", "audience") if not getattr(settings, name)]
    if len(sources) > 1:
        return f"{' and '.join(sources)} are set: keep the one whose tokens are to be taken."
    if sources and settings.open:
        return f"{sources[0]} is set, and open mode as well: keep one of them."
    if sources and lacking and not settings.local_tokens:
        return f"With {sources[0]} goes {' and '.join(lacking)}: what tokens must bear."
    if not sources and not settings.open and not _is_loopback(settings.host):
        return (
            f"Without tokens, whoever reaches {settings.host} could read and change all data. Set "
            "ERRAND_JWKS_URL, ERRAND_ISSUER and ERRAND_AUDIENCE, or, if that is what you want, "
            "start with --open."
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
