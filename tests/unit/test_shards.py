"""The shards of a Citus cluster, and the statements on their tables."""

import re
from uuid import UUID

from db.catalogue import CATALOGUE
from db.citus.hashing import hash_of_uuid
from db.citus.shard_sql import FUNCTIONS, on_shard
from db.citus.shards import Address, Placement, ShardMap
from db.citus.statements import NodeStatement, ShardStatement
from db.postgres.failures import MOVED
from db.probe import AT_THE_START
from db.purge import CATALOGUE as PURGES
from db.schema.tables import OWNED_TABLES
from tests.support.cases import for_each

STATEMENTS = (*CATALOGUE, *PURGES, *AT_THE_START)
TABLES = {table: 102_008 + 32 * index for index, table in enumerate(OWNED_TABLES)}
USERS = TABLES["users"]
NODE = Address("node.example", 5432)
ALICE, BOB = UUID("01939d8f-3f4b-7c6e-8a53-5f0e4f5c1a2b"), UUID(int=0)


@for_each(
    ("value", "expected"),
    [(BOB, 1353656403), (UUID(int=2**128 - 1), -682383255)],
)
def test_hash_of_a_uuid_is_that_of_postgresql(value: UUID, expected: int) -> None:
    assert hash_of_uuid(value) == expected


@for_each(
    ("sql", "expected"),
    [
        ("SELECT users.id FROM users", "SELECT users.id FROM users_1 AS users"),
        ("SELECT a.id FROM users AS a", "SELECT a.id FROM users_1 AS a"),
        ("FROM chain, tasks WHERE", "FROM chain, tasks_2 AS tasks WHERE"),
        ("INSERT INTO users (id)", "INSERT INTO users_1 AS users (id)"),
        ("count(*) AS tasks, alike.tasks", "count(*) AS tasks, alike.tasks"),
        ("users.task_count, task_tags_2", "users.task_count, task_tags_2"),
        ("FOR UPDATE OF users", "FOR UPDATE OF users"),
        ("'tasks'", "'tasks'"),
        ("has_task(users.id)", "has_task_1(users.id)"),
        ("hash_of(users.revision)", "hash_of(users.revision)"),
    ],
)
def test_tables_and_functions_get_the_names_of_the_shard(sql: str, expected: str) -> None:
    assert on_shard(sql, {"users": 1, "tasks": 2}, 1) == expected


def test_no_statement_on_a_shard_names_a_table_or_function_of_all_shards() -> None:
    tables = "|".join(OWNED_TABLES)
    names = rf"(?:FROM|JOIN|INTO|UPDATE|USING|,) (?:{tables})\b(?!\.)|\b(?:{'|'.join(FUNCTIONS)})\("
    for statement in STATEMENTS:
        text = ShardStatement(statement, TABLES).text
        assert not re.search(names, text), statement.name
        assert text != statement.text or not re.search(rf"\b(?:{tables})\.", text)


def test_statement_on_a_shard_holds_the_shard_and_sets_its_owner() -> None:
    for statement in STATEMENTS:
        values = {"user_id": ALICE} if statement.has_owner else {}
        on_this = ShardStatement(statement, TABLES)
        sql = on_this.sql(values, prepared=True)
        assert on_this.name in sql
        assert (f"errand_hold({USERS})" in sql) == (on_this.text != statement.text)
        assert ("errand.user_id" in sql) == statement.has_owner


def test_group_runs_each_call_on_the_shard_that_it_names() -> None:
    others = {table: number + 1 for table, number in TABLES.items()}
    for statement in STATEMENTS:
        if not statement.returns_document:
            continue
        on_shards = [ShardStatement(statement, tables) for tables in (TABLES, others)]
        of_node = NodeStatement(statement.name, statement, on_shards)
        [function] = of_node.preparations(functions=True)
        for each in on_shards:
            assert f"WHEN {each.shard} THEN" in function
            assert of_node.alone({"shard": each.shard}) is each
        assert MOVED in function
        assert '"shard" bigint' in function


def test_owner_is_on_the_shard_whose_range_has_the_hash() -> None:
    far = Address("far.example", 5433)
    placements = [
        Placement(greatest, table, number + offset, *node)
        for offset, (greatest, node) in enumerate([(0, NODE), (2**31 - 1, far)])
        for table, number in TABLES.items()
    ]
    shards = ShardMap(placements)
    for owner in (ALICE, BOB):
        assert shards.shard_of(owner).node == (NODE if hash_of_uuid(owner) <= 0 else far)
    assert shards.nodes == {NODE, far}
    assert [each.number for each in shards.shards_on(far)] == [USERS + 1]
