"""The `security` of an operation in the contract."""

from typing import Any

from openapi.contract.faults import Unsupported, Where


def requires_bearer_token(described: Any, where: Where) -> bool:
    """Whether the operation requires a bearer token; raises for every other kind of security."""
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
