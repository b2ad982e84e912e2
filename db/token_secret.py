"""The secret that signs the opaque tokens which clients bring back: cursors and `since`."""

import secrets
from contextlib import closing

import psycopg2

from db.errors import UnfitRole
from db.migrate import connect, schema_of
from db.postgres.schema_version import require_served

BYTES = 32


def rotate(url: str) -> None:
    """Replace the secret, as its owner; a server that runs keeps the old one until it restarts."""
    require_served(schema_of(url))
    with closing(connect(url)) as opened, opened, opened.cursor() as cursor:
        try:
            cursor.execute(
                "UPDATE secrets SET value = %s WHERE purpose = 'seal'",
                [secrets.token_bytes(BYTES)],
            )
        except psycopg2.errors.InsufficientPrivilege as error:
            raise UnfitRole(
                "The token secret belongs to the owner of the schema: use the owner's DATABASE_URL."
            ) from error
