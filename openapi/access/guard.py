"""Lets in only who brings a valid token, and to nobody's data but their own."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.owner import OWNER
from openapi.access import local_tokens
from openapi.access.key_sources import Keys, KeysUnavailable, fixed_key, keys_at, keys_in_file
from openapi.access.keys import UnusableKeys
from openapi.access.token_rules import InvalidToken
from openapi.access.tokens import Caller, Verifier
from openapi.http.problems import FORBIDDEN, KEYS_AWAY, RETRY_AFTER, UNAUTHENTICATED, Problem
from openapi.settings import Settings, WrongSettings, variable

REALM = b'Bearer realm="errand"'
UNKNOWN = "This operation needs a token: send it as `Authorization: Bearer …`."
NOT_YOURS = "The token is another user's than the path's; GET /api/me tells whose it is."


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

    def refuse_strangers(self, caller: Caller, path: Mapping[str, str]) -> None:
        """What a path names as somebody's is theirs alone."""
        owner = path.get(OWNER, caller.owner)
        if owner != caller.owner and not _is(owner, caller.user_id):
            raise Problem(FORBIDDEN, NOT_YOURS)

    async def caller(self, credentials: bytes | None) -> Caller:
        """Who brings these credentials."""
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
            raise Problem(KEYS_AWAY, str(error), headers=[RETRY_AFTER]) from error


def _unauthenticated(challenge: bytes, detail: str) -> Problem:
    return Problem(UNAUTHENTICATED, detail, headers=[(b"www-authenticate", challenge)])


def _is(owner: str, user_id: UUID) -> bool:
    """Whether the text is that id; one that is no id at all is told so by its own check."""
    try:
        return UUID(owner) == user_id
    except ValueError:
        return True


def guard_with(settings: Settings) -> Guard:
    """The guard that knows the keys of these settings."""
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
        lifetime=settings.token_lifetime,
        refuse_id_tokens=settings.refuse_id_tokens,
        require_at_jwt=settings.require_at_jwt,
    )


def _keys(settings: Settings) -> Keys:
    if settings.jwks_url:
        return keys_at(settings.jwks_url)
    if settings.key_file:
        return keys_in_file(settings.key_file)
    return fixed_key(settings.public_key or local_tokens.public_key(settings.data_dir))
