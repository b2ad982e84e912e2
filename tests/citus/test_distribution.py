"""`errand migrate --distribute` lays the tables out, whatever is in them."""

from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2.extensions import make_dsn

from db.citus.shard_sql import FUNCTIONS
from db.distribution import distribute
from db.errors import NotDistributable
from db.migrate import migrate
from db.postgres.roles import APPLICATION
from db.schema.tables import OWNED_TABLES
from tests.support.citus import LOCALLY, Cluster, needs_citus
from tests.support.databases import database_named, empty_database, query, query_as_owner
from tests.support.servers import errand

pytestmark = [needs_citus, pytest.mark.long]

USER = "0190a1b2-0000-7000-8000-00000000a11c"
FILL = f"""
INSERT INTO users (id) VALUES ('{USER}');
INSERT INTO tasks (user_id, id, title, revision, tags, tag_keys)
SELECT '{USER}', gen_random_uuid(), 'Task', number, '["Home"]', '["home"]'
  FROM generate_series(1, 20) AS number
"""
LATER = (
    "CREATE OR REPLACE FUNCTION has_task(owner uuid, task uuid) RETURNS boolean LANGUAGE sql"
    " BEGIN ATOMIC SELECT EXISTS ("
    "  SELECT FROM tasks WHERE user_id = owner AND id = task AND title <> 'later'); END",
    "CREATE TRIGGER keep_later AFTER UPDATE OF title ON tasks"
    " FOR EACH ROW EXECUTE FUNCTION keep_task_tags()",
)
COUNTS = "SELECT (SELECT count(*) FROM tasks) || ', ' || (SELECT count(*) FROM task_tags)"


def test_distribution_can_be_repeated(cluster: Cluster) -> None:
    before = cluster.coordinator.query("SELECT shardid FROM pg_dist_shard ORDER BY shardid")

    assert distribute(cluster.url) == 4

    assert cluster.coordinator.query("SELECT shardid FROM pg_dist_shard ORDER BY shardid") == before
    distributed = "SELECT table_name::text FROM citus_tables WHERE citus_table_type = 'distributed'"
    assert set(cluster.coordinator.query(distributed)) == set(OWNED_TABLES)


def test_migration_of_a_cluster_brings_its_nodes_what_they_lack(cluster: Cluster) -> None:
    [node, *_] = cluster.workers
    [shard, *_] = cluster.shards_on(node)
    node.query(f"{LOCALLY}; DROP FUNCTION has_task_{shard}")

    done = errand("migrate", DATABASE_URL=cluster.url)

    assert "The tables are distributed: 4 shards." in done.stdout, done.stderr
    made = "SELECT proname::text FROM pg_proc WHERE proname = %s"
    assert node.query(made, f"has_task_{shard}") == [f"has_task_{shard}"]


def test_rows_of_a_filled_database_are_distributed_though_policies_apply_to_its_owner(
    cluster: Cluster,
) -> None:
    with cluster.database("filled") as url:
        query_as_owner(url, "CREATE ROLE landlord LOGIN CREATEROLE")
        for node in (cluster.coordinator, *cluster.workers):
            own = f"{LOCALLY}; ALTER DATABASE filled OWNER TO landlord"
            query_as_owner(database_named("filled", node.url), own)
        owner_url = make_dsn(url, user="landlord")
        migrate(owner_url)
        query_as_owner(url, FILL)

        done = errand("migrate", "--distribute", DATABASE_URL=owner_url)

        assert done.returncode == 0, done.stderr
        assert "The tables are distributed: 4 shards." in done.stdout
        assert query_as_owner(url, COUNTS) == ["20, 20"]
        [size] = query_as_owner(url, "SELECT pg_table_size('tasks')")
        assert size <= 8192, "what was copied is still there"


def test_each_function_that_names_a_table_of_users_has_its_like_on_each_shard(
    cluster: Cluster,
) -> None:
    naming = (
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND prorettype <> 'trigger'::regtype AND proname !~ '^errand_|_[0-9]+$'"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')"
        " AND pg_get_functiondef(oid) ~ %s"
    )
    tables = rf"\m({'|'.join(OWNED_TABLES)})\M"
    assert set(cluster.coordinator.query(naming, tables)) == set(FUNCTIONS)

    for node in cluster.workers:
        for shard in cluster.shards_on(node):
            definitions = node.query(
                "SELECT pg_get_functiondef(oid) FROM pg_proc"
                " WHERE proname ~ %s AND proname !~ '^keep_'",
                f"_{shard}$",
            )
            assert len(definitions) == len(FUNCTIONS)
            for definition in definitions:  # now that the node has the tables, PostgreSQL checks it
                node.query(f"{LOCALLY}; {definition}")


def test_what_later_migrations_and_a_split_bring_is_brought_to_all_shards(cluster: Cluster) -> None:
    with cluster.database("later") as url:
        migrate(url)
        distribute(url)
        query_as_owner(url, FILL)
        for each in LATER:
            query_as_owner(url, each)
        shards = "SELECT shardid FROM pg_dist_shard WHERE logicalrelid = 'users'::regclass"
        nodes = [each.port for each in cluster.workers]
        query_as_owner(
            url,
            f"SELECT citus_split_shard_by_split_points(({shards} ORDER BY shardminvalue LIMIT 1),"
            " (SELECT array[(shardminvalue::int + 9)::text] FROM pg_dist_shard"
            f"   WHERE shardid = ({shards} ORDER BY shardminvalue LIMIT 1)),"
            " (SELECT array_agg(nodeid) FROM pg_dist_node WHERE nodeport = ANY (%s)),"
            " 'block_writes')::text",
            nodes,
        )

        assert distribute(url) == 5

        assert query_as_owner(url, COUNTS) == ["20, 20"]
        names = sorted(f"has_task_{each}" for each in query_as_owner(url, shards))
        made = "SELECT proname::text FROM pg_proc WHERE prosrc LIKE %s ORDER BY proname"
        for node in cluster.workers:
            on_node = database_named("later", node.url)
            assert set(names) <= set(query_as_owner(on_node, made, "%later%"))
        redirected = "SELECT tgfoid::regproc::text FROM pg_trigger WHERE tgname = 'keep_later'"
        assert query_as_owner(url, redirected) == ["errand_trigger"]


def test_node_of_a_shard_lets_it_be_held_and_another_refuses(cluster: Cluster) -> None:
    here, elsewhere = cluster.workers
    [shard, *_] = cluster.shards_on(here)

    assert here.query("SELECT errand_hold(%s)::text", shard) == [""]
    with pytest.raises(errors.Error) as refused:
        elsewhere.query("SELECT errand_hold(%s)::text", shard)
    assert refused.value.pgcode == "SM001"


def test_role_of_the_server_writes_and_sees_the_rows_of_one_user_on_a_shard(
    cluster: Cluster,
) -> None:
    names = cluster.tables_of(USER)
    users, tasks, tags = names["users"], names["tasks"], names["task_tags"]
    url = make_dsn(cluster.worker_of(USER).url, user=APPLICATION)
    with closing(psycopg2.connect(url)) as opened, opened, opened.cursor() as cursor:
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute("SELECT set_config('errand.user_id', %s, true)", [USER])
        cursor.execute(f"INSERT INTO {users} (id) VALUES (%s)", [USER])
        cursor.execute(
            f"INSERT INTO {tasks} (user_id, id, title, revision, tags, tag_keys)"
            " VALUES (%s, gen_random_uuid(), 'Task', 1, '[\"Home\"]', '[\"home\"]')",
            [USER],
        )
        assert query(opened, f"SELECT tag FROM {tags}") == ["home"]
        cursor.execute(f"UPDATE {tasks} SET deleted_at = now()")
        assert query(opened, f"SELECT tag FROM {tags}") == []
    with closing(psycopg2.connect(url)) as opened, opened:
        assert query(opened, f"SELECT title FROM {tasks}") == []
        query(opened, "SELECT set_config('errand.user_id', %s, true)", str(uuid4()))
        assert query(opened, f"SELECT title FROM {tasks}") == []
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            query(opened, f"INSERT INTO {users} (id) VALUES (%s)", str(uuid4()))


def test_database_without_the_extension_is_refused(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    migrate(url)
    with pytest.raises(NotDistributable, match="lacks the extension citus"):
        distribute(url)


def test_worker_is_refused(cluster: Cluster) -> None:
    with pytest.raises(NotDistributable, match="not the coordinator"):
        distribute(cluster.workers[0].url)
