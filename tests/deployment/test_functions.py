"""The functions of the schema that statements call."""

from db.catalogue import CATALOGUE
from tests.support.databases import query_as_owner

# Volatile: the others may be a part of the statement's plan.
PLANNED_AT_EACH_CALL = """
SELECT proname::text FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
 WHERE pronamespace = 'public'::regnamespace AND lanname = 'sql' AND provolatile = 'v'
"""


def test_writes_call_no_function_that_is_planned_at_each_call(own_database: str) -> None:
    planned = query_as_owner(own_database, PLANNED_AT_EACH_CALL)
    called = [
        name
        for name in planned
        if any(f"{name}(" in each.text for each in CATALOGUE if each.has_owner)
    ]

    assert called == []
