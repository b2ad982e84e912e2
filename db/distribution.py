"""Lays the tables out over the nodes of a Citus cluster, and creates what each shard needs.

All of it can be repeated: what is there stays, and what is missing is added.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, NamedTuple

import psycopg2
from psycopg2.extensions import cursor

from db.citus.shard_functions import Function
from db.citus.shard_sql import FUNCTIONS
from db.errors import NotDistributable
from db.migrate import connect
from db.owner import OWNER
from db.postgres.failures import MOVED
from db.schema.tables import METADATA, OWNED_TABLES

USERS = OWNED_TABLES[0]
SHARED_TABLES = ["alembic_version", *sorted({*METADATA.tables} - {*OWNED_TABLES})]
"""The tables that are the same on every node."""

# Any number will do, as long as nothing else locks it; see `pg_advisory_lock`.
DISTRIBUTION_LOCK = 0x6369747573

CLUSTER = """
SELECT (SELECT groupid = 0 FROM pg_dist_local_group),
       (SELECT count(*) FROM pg_dist_node WHERE shouldhaveshards AND noderole = 'primary')
"""
SETTINGS = (
    "SET LOCAL citus.multi_shard_modify_mode = 'sequential'",
    "SET LOCAL citus.enable_unsafe_triggers = on",
)
SHARE = "SELECT create_reference_table('{table}')"
# Policies apply to the tables' owner, too, and Citus copies the rows that this role can see.
DISTRIBUTE = (
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "SELECT create_distributed_table('{table}', '{column}', colocate_with := '{group}')",
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
)

# One function serves all triggers: it calls the function of the shard whose table has the row.
TRIGGER_FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.errand_trigger() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp
AS $function$
BEGIN
    EXECUTE format('SELECT %I($1, $2, $3)', TG_ARGV[0] || substring(TG_TABLE_NAME from '_[0-9]+$'))
      USING TG_OP, OLD, NEW;
    RETURN NULL;
END $function$;
"""

# Citus locks the metadata of a shard on all nodes before it moves the shard; 5 is a share lock.
GUARD = """
CREATE OR REPLACE FUNCTION {schema}.errand_hold(shard bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM lock_shard_metadata(5, ARRAY[shard]);
    IF NOT EXISTS (
        SELECT FROM pg_dist_placement
         WHERE shardid = shard AND groupid = (SELECT groupid FROM pg_dist_local_group))
    THEN
        RAISE EXCEPTION USING ERRCODE = '{moved}', MESSAGE = 'the shard is elsewhere';
    END IF;
END $function$;
REVOKE EXECUTE ON FUNCTION {schema}.errand_hold FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.errand_hold TO errand_app;
"""

# Bodies are not checked: a node has the functions of all shards, also of those that may come to it.
ON_NODE = """
DO $node$ BEGIN
    SET LOCAL citus.enable_ddl_propagation = off;
    SET LOCAL check_function_bodies = off;
    EXECUTE $commands${commands}$commands$;
END $node$
"""
RUN_ON_NODES = """
SELECT nodename || ':' || nodeport, result
  FROM run_command_on_all_nodes(%s) JOIN pg_dist_node USING (nodeid) WHERE NOT success
"""

SHARDS = """
SELECT json_object_agg(class.relname, shard.shardid)
  FROM pg_dist_partition AS of_users
  JOIN pg_dist_partition AS member ON member.colocationid = of_users.colocationid
  JOIN pg_class AS class ON class.oid = member.logicalrelid
  JOIN pg_dist_shard AS shard ON shard.logicalrelid = member.logicalrelid
 WHERE of_users.logicalrelid = to_regclass(%s)
 GROUP BY shard.shardminvalue ORDER BY shard.shardminvalue::integer
"""
# Later migrations may create triggers: Citus wants to hear that their functions stay on the shard.
ALLOW_TRIGGERS = """
DO $$ BEGIN
    EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET citus.enable_unsafe_triggers = on',
                   current_database());
END $$
"""
DISTRIBUTED_TABLES = "SELECT logicalrelid::regclass::text FROM pg_dist_partition"

# PostgreSQL leaves the schema out of the names of tables if it is in the search path.
FUNCTIONS_OF_SCHEMA = """
SELECT quote_ident(current_schema()), proname::text, pg_get_functiondef(oid), prosrc
  FROM pg_proc
 WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f'
   AND proname !~ '^errand_|_[0-9]+$'
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
 ORDER BY proname
"""
TRIGGERS = """
SELECT tgname::text, relname::text, pg_get_triggerdef(pg_trigger.oid)
  FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
 WHERE NOT tgisinternal AND relname = ANY (%s) AND relnamespace = current_schema()::regnamespace
"""
CALL = re.compile(r"EXECUTE FUNCTION (?:\w+\.)?(?:errand_trigger\(')?(\w+)(?:'\)|\(\))$")


def distribute(url: str) -> int:
    """Distribute the tables by user, if they are not, and return the number of shards.

    Each node gets the functions of every shard, so that a shard can move anywhere.
    """
    with closing(connect(url)) as opened:
        opened.autocommit = True
        with opened.cursor() as database:
            try:
                _require_coordinator(database)
                database.execute(f"SELECT pg_advisory_lock({DISTRIBUTION_LOCK})")
                return Distribution(database).run()
            except psycopg2.Error as error:
                reason = str(error).strip().partition("\n")[0].rstrip(".")
                raise NotDistributable(f"The tables cannot be distributed: {reason}.") from error


def _require_coordinator(database: cursor) -> None:
    database.execute("SELECT FROM pg_extension WHERE extname = 'citus'")
    if not database.fetchall():
        raise NotDistributable(
            "The tables cannot be distributed: this database lacks the extension citus."
            " On every node, set shared_preload_libraries = 'citus' and run CREATE EXTENSION citus."
        )
    database.execute(CLUSTER)
    [(is_coordinator, nodes)] = database.fetchall()
    if not is_coordinator:
        raise NotDistributable(
            "The tables cannot be distributed: this node is not the coordinator."
            " Run `errand migrate --distribute` with the DATABASE_URL of the coordinator."
        )
    if not nodes:
        raise NotDistributable(
            "The tables cannot be distributed: no node may have shards."
            " On the coordinator, run SELECT citus_add_node('host', 5432) for each worker."
        )


class Trigger(NamedTuple):
    """A trigger of a table, as PostgreSQL writes it."""

    name: str
    table: str
    definition: str

    @property
    def function(self) -> str:
        """The function of the schema that it calls, directly or for a shard."""
        return str(CALL.findall(self.definition)[0])

    @property
    def is_redirected(self) -> bool:
        """Whether it calls the function of its shard."""
        return "errand_trigger(" in self.definition

    @property
    def drop(self) -> str:
        """What drops it."""
        return f"DROP TRIGGER {self.name} ON {self.table}"

    @property
    def redirected(self) -> str:
        """What creates it so that it calls the function of its shard."""
        return CALL.sub(r"EXECUTE FUNCTION errand_trigger('\1')", self.definition)


class Distribution:
    """Runs the steps on the coordinator."""

    def __init__(self, database: cursor) -> None:
        self._database = database

    def run(self) -> int:
        """Lay out the tables, create the functions, and return the number of shards."""
        rows = self._rows(FUNCTIONS_OF_SCHEMA)
        functions = {name: Function(schema, name, *rest) for schema, name, *rest in rows}
        schema = functions["hash_of"].schema
        self._run_on_nodes(TRIGGER_FUNCTION.format(schema=schema))
        # Else Citus would distribute it within the transaction, as another role, and wait for it.
        self._rows("SELECT create_distributed_function('errand_trigger()')")
        self._run_on_nodes(functions["hash_of"].on_node())
        self._execute(ALLOW_TRIGGERS)
        shards = self._lay_out(functions)
        # Servers take a database that has it for a cluster: so it comes last.
        self._run_on_nodes(GUARD.format(schema=schema, moved=MOVED))
        return len(shards)

    def _lay_out(self, functions: Mapping[str, Function]) -> list[dict[str, int]]:
        """Distribute the tables with their functions and triggers: all of them, or none."""
        known = {name for (name,) in self._rows(DISTRIBUTED_TABLES)}
        shared = [each for each in SHARED_TABLES if each not in known]
        owned = [each for each in OWNED_TABLES if each not in known]
        # One by one: Citus sends the whole text of a message to the other nodes.
        self._execute("BEGIN", *SETTINGS)
        triggers = [Trigger(*row) for row in self._rows(TRIGGERS, OWNED_TABLES)]
        changed = triggers if owned else [each for each in triggers if not each.is_redirected]
        # They would fire for the rows that Citus copies.
        self._execute(*(each.drop for each in changed))
        self._execute(*(SHARE.format(table=each) for each in shared))
        self._execute(*(step for each in owned for step in _distribution_of(each)))
        shards = [tables for (tables,) in self._rows(SHARDS, USERS)]
        for tables in shards:
            self._run_on_nodes(_functions_of_shard(functions, triggers, tables))
        self._execute(*(each.redirected for each in changed), "COMMIT")
        # Citus keeps the rows that it has copied; those of the other tables go with their users'.
        for table in [*shared, *owned[:1]]:
            self._rows("SELECT truncate_local_data_after_distributing_table(%s)", table)
        return shards

    def _execute(self, *statements: str) -> None:
        for statement in statements:
            self._database.execute(statement)

    def _run_on_nodes(self, commands: str) -> None:
        for node, reason in self._rows(RUN_ON_NODES, ON_NODE.format(commands=commands)):
            raise NotDistributable(f"The tables cannot be distributed: {node} says: {reason}")

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        self._database.execute(sql, values)
        return self._database.fetchall()


def _distribution_of(table: str) -> list[str]:
    column, group = ("id", "default") if table == USERS else (OWNER, USERS)
    return [step.format(table=table, column=column, group=group) for step in DISTRIBUTE]


def _functions_of_shard(
    functions: Mapping[str, Function], triggers: Iterable[Trigger], tables: Mapping[str, int]
) -> str:
    calls = sorted({(each.table, each.function) for each in triggers})
    return "".join(
        [
            *(functions[name].on_shard(tables) for name in FUNCTIONS),
            *(functions[name].for_trigger_on(table, tables) for table, name in calls),
        ]
    )
