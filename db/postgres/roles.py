"""The database role of the server: one that row-level security applies to."""

from collections.abc import Iterable
from typing import NamedTuple

from psycopg2.extensions import make_dsn

from db.errors import UnfitRole

APPLICATION = "errand_app"

# It asks which roles a session may become, because `SET ROLE` is a statement like any other.
POWERS = """
SELECT session_user::text,
       EXISTS (SELECT FROM pg_roles
                WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER')),
       EXISTS (SELECT FROM pg_class
                WHERE oid IN ({tables}) AND pg_has_role(session_user, relowner, 'MEMBER')),
       (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
         WHERE oid IN ({tables}) AND NOT row_security_active(oid))
"""


class Powers(NamedTuple):
    """What the role of a connection could do to the owned tables, as `powers_query` finds it."""

    role: str
    bypasses: bool
    owns: bool
    unguarded: str | None


def powers_query(owned_tables: Iterable[str]) -> str:
    """The query for the powers of a connection's role over tables whose rows have an owner."""
    tables = ", ".join(f"to_regclass('{name}')" for name in owned_tables)
    return POWERS.format(tables=tables)


def as_application(url: str) -> str:
    """The URL of the same database for the server's role."""
    return make_dsn(url, user=APPLICATION)


def require_fit(powers: Powers) -> None:
    """Raise `UnfitRole` unless row-level security hides other users' rows from the role."""
    if powers.bypasses:
        reason = "is a superuser or bypasses row-level security, or may become a role that does"
    elif powers.owns:
        reason = "owns the tables, or is a member of the role that does"
    elif powers.unguarded:
        reason = f"finds no row-level security on {powers.unguarded}"
    else:
        return
    raise UnfitRole(
        f"The database role {powers.role} {reason}, so that nothing but the server's own"
        f" statements would keep users apart. Connect as {APPLICATION}, or as a member of it that"
        " is nothing else; `errand migrate` is for the owner."
    )
