"""The hash of an owner's id is PostgreSQL's: else a call would go to the wrong shard."""

from contextlib import closing
from uuid import uuid4

import psycopg2

from db.citus.hashing import hash_of_uuid
from tests.support.databases import query

HASHES = (
    "SELECT uuid_hash(id) FROM unnest(%s::uuid[]) WITH ORDINALITY AS t (id, place) ORDER BY place"
)


def test_hashes_of_random_ids_are_those_of_postgresql(postgres_url: str) -> None:
    ids = [uuid4() for _ in range(2000)]
    with closing(psycopg2.connect(postgres_url)) as opened:
        hashes = query(opened, HASHES, [str(each) for each in ids])
    assert hashes == [hash_of_uuid(each) for each in ids]
