"""The database role of the server: row-level security must apply to it."""

from collections.abc import Iterable
from typing import NamedTuple

from psycopg2.extensions import make_dsn

from db.errors import UnfitRole

APPLICATION = "errand_app"

# Citus hides shards from queries of pg_class, but from no function.
# Memberships count, too: with `SET ROLE` a session can become any role that it is a member of.
POWERS = """
SELECT session_user::text,
       EXISTS (SELECT FROM pg_roles
                WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER')),
       EXISTS (SELECT FROM pg_class
                WHERE oid IN ({tables}) AND pg_has_role(session_user, relowner, 'MEMBER')),
       (SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(ARRAY[{names}]) AS name
         WHERE NOT row_security_active(to_regclass(name)))
"""


class Powers(NamedTuple):
    """The rights of a connection's role to the owned tables: the row of `powers_query`."""

    role: str
    bypasses: bool
    owns: bool
    unguarded: str | None


def powers_query(owned_tables: Iterable[str]) -> str:
    """The query for the rights of a connection's role to tables whose rows have an owner."""
    names = [f"'{name}'" for name in owned_tables]
    tables = ", ".join(f"to_regclass({name})" for name in names)
    return POWERS.format(tables=tables, names=", ".join(names))


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
        f"The database role {powers.role} {reason}, so row-level security would not protect"
        f" users from each other. Connect as {APPLICATION}, or as a role that is only a member of"
        " it; `errand migrate` is for the owner."
    )
