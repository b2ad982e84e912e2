"""Authenticates callers by their bearer tokens, and denies access to the data of other users."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.owner import OWNER
from openapi.access import local_tokens
from openapi.access.key_sources import Keys, KeysUnavailable, fixed_key, keys_at, keys_in_file
from openapi.access.keys import UnusableKeys
from openapi.access.principal import Denied
from openapi.access.token_rules import InvalidToken
from openapi.access.tokens import Caller, Verifier
from openapi.http.problems import FORBIDDEN, KEYS_AWAY, RETRY_AFTER, UNAUTHENTICATED, Problem
from openapi.settings import Settings, WrongSettings, variable

REALM = b'Bearer realm="errand"'
NO_CREDENTIALS = "This operation needs a token: send it as `Authorization: Bearer …`."
NOT_YOURS = (
    "The path belongs to another user than the token. GET /api/me returns the user of the token."
)


class Guard:
    """Authenticates callers by bearer tokens; inside `async with` the keys are refreshed."""

    def __init__(self, keys: Keys, **rules: Any) -> None:
        self._keys = keys
        self._verifier = Verifier(keys, **rules)

    async def __aenter__(self) -> None:
        await self._keys.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._keys.__aexit__(*error)

    def remembered(self, credentials: bytes | None) -> Caller | None:
        """The caller, if the token was verified before and is still valid."""
        token = _token_in(credentials)
        return None if token is None else self._verifier.remembered(token)

    async def authenticate(self, credentials: bytes | None) -> Caller:
        """The user that the token names; raises if there is no valid token."""
        token = _token_in(credentials)
        if token is None:
            raise _unauthenticated(REALM, NO_CREDENTIALS)
        try:
            return await self._verifier.verify(token)
        except InvalidToken as error:
            challenge = b'%b, error="invalid_token", error_description="%b"'
            reason = str(error)
            raise _unauthenticated(
                challenge % (REALM, reason.encode()), reason, error.key_id
            ) from None
        except KeysUnavailable as error:
            raise Problem(KEYS_AWAY, str(error), headers=[RETRY_AFTER]) from error

    def require_path_owner(self, caller: Caller, path: Mapping[str, str]) -> None:
        """Deny access to the data of another user than the caller."""
        owner = path.get(OWNER, caller.owner)
        if owner != caller.owner and not _is_same_id(owner, caller.user_id):
            raise Denied(FORBIDDEN, NOT_YOURS, caller=caller, key_id=caller.key_id)


def _token_in(credentials: bytes | None) -> bytes | None:
    """The bearer token in an Authorization header (RFC 6750, 2.1)."""
    if credentials is None:
        return None
    scheme, _, token = credentials.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else None


def _unauthenticated(challenge: bytes, detail: str, key_id: str | None = None) -> Denied:
    headers = [(b"www-authenticate", challenge)]
    return Denied(UNAUTHENTICATED, detail, headers=headers, key_id=key_id)


def _is_same_id(owner: str, user_id: UUID) -> bool:
    """Whether the text is that id; true if it is no id: the validation of parameters refuses it."""
    try:
        return UUID(owner) == user_id
    except ValueError:
        return True


def guard_with(settings: Settings) -> Guard:
    """The guard with the keys and the rules of the settings."""
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
