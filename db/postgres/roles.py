"""Whom the server is to its database: nobody whom row-level security would not hold."""

from typing import NamedTuple

from psycopg2.extensions import make_dsn

from db.errors import UnfitRole
from db.schema.models import User

APPLICATION = "errand_app"

OWNED = [
    table.name
    for table in User.metadata.sorted_tables
    if "user_id" in table.c or table.name == User.__tablename__
]
"""The tables in which each row is some user's."""

_owned = ", ".join(f"to_regclass('{name}')" for name in OWNED)

# What counts is whom a session may become, for `SET ROLE` is a statement like any other.
POWERS = f"""
SELECT session_user::text,
       EXISTS (SELECT FROM pg_roles
                WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER')),
       EXISTS (SELECT FROM pg_class
                WHERE oid IN ({_owned}) AND pg_has_role(session_user, relowner, 'MEMBER')),
       (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
         WHERE oid IN ({_owned}) AND NOT row_security_active(oid))
"""  # noqa: S608


class Powers(NamedTuple):
    """What the role of a connection could do beside its work, as `POWERS` finds it."""

    role: str
    bypasses: bool
    owns: bool
    unguarded: str | None


def as_application(url: str) -> str:
    """The same database, as the server sees it."""
    return make_dsn(url, user=APPLICATION)


def require_held(powers: Powers) -> None:
    """Refuse a role to whom a condition that is missing would show another user's rows."""
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
