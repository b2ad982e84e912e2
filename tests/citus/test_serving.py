"""A server on a Citus cluster: calls go to the node that has the owner's shard, wherever it is."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.postgres.roles import APPLICATION, as_application
from tests.support.citus import LOCALLY, Cluster, Node, needs_citus, new_user
from tests.support.databases import administration, query
from tests.support.feed import Copy
from tests.support.polling import eventually
from tests.support.servers import errand, serving
from tests.support.users import User

pytestmark = [needs_citus, pytest.mark.long]

STATEMENTS = "SELECT query FROM pg_stat_activity WHERE application_name = 'errand'"
TERMINATE = (
    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{APPLICATION}'"
)
# A user of a node that is down waits no longer than this for a connection.
IMPATIENT = {"ERRAND_WAIT_TIMEOUT": "1"}


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[str]:
    """A server of the cluster; the settings name nothing but the coordinator."""
    with serving(DATABASE_URL=as_application(cluster.url), **IMPATIENT) as url:
        yield url


def user_on(node: Node, cluster: Cluster, server: str) -> User:
    """A new user with a task, whose rows are on the node."""
    user = new_user(server, lambda user: cluster.worker_of(user.id) is node)
    user.creates("Buy milk")
    return user


@pytest.fixture
def users(cluster: Cluster, server: str) -> Iterator[list[User]]:
    """A user on each of the workers."""
    users = [user_on(each, cluster, server) for each in cluster.workers]
    yield users
    for user in users:
        user.close()


def test_rows_of_a_user_are_written_on_the_node_that_has_the_shard(
    cluster: Cluster, users: list[User]
) -> None:
    for node, user in zip(cluster.workers, users, strict=True):
        table = cluster.tables_of(user.id)["tasks"]
        assert node.query(f"SELECT title FROM {table} WHERE user_id = %s", user.id) == ["Buy milk"]


def test_no_statement_passes_the_planner_of_the_coordinator(
    cluster: Cluster, users: list[User]
) -> None:
    for user in users:
        assert user.get(user.tasks).status_code == 200
    assert not [each for each in cluster.coordinator.query(STATEMENTS) if user.id in each]


def test_node_that_is_down_is_503_for_its_own_users_alone(
    cluster: Cluster, server: str, users: list[User]
) -> None:
    here, there = users
    down = cluster.workers[1]
    down.kill()
    try:
        for _ in range(3):
            refused = there.get(there.tasks)
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert here.get(here.tasks).status_code == 200
            here.creates("While the other node is down")
        assert here.get("/health/ready").status_code == 200
    finally:
        down.start()
        down.wait()
    assert eventually(lambda: there.get(there.tasks).status_code == 200)
    assert here.get(here.tasks).status_code == 200


def test_server_needs_no_coordinator(cluster: Cluster, users: list[User]) -> None:
    url = as_application(cluster.url)
    ports = ",".join(str(each.port) for each in (cluster.coordinator, *cluster.workers))
    every_host = make_dsn(url, host="127.0.0.1,127.0.0.1,127.0.0.1", port=ports)
    with serving(DATABASE_URL=url, **IMPATIENT) as older:
        cluster.coordinator.kill()
        try:
            _serves_all(older, users)
            with serving(DATABASE_URL=every_host, **IMPATIENT) as newer:
                _serves_all(newer, users)
        finally:
            cluster.coordinator.start()
            cluster.coordinator.wait()


def _serves_all(server: str, users: list[User]) -> None:
    for user in users:
        feed = user.get(f"{server}/api/{user.id}/changes")
        assert feed.status_code == 200, feed.text
        written = user.post(f"{server}{user.tasks}", json={"title": "Without coordinator"})
        assert written.status_code == 201
    assert user.get(f"{server}/health/ready").status_code == 200


def test_moved_shard_loses_no_write(cluster: Cluster, server: str) -> None:
    users = [user_on(cluster.workers[0], cluster, server) for _ in range(4)]
    stop = threading.Event()
    stored: dict[str, list[str]] = {user.id: [] for user in users}
    failures: list[int] = []

    def write(user: User) -> None:
        with User(server) as client:  # the other's connection may be idle for too long by now
            while not stop.is_set():
                response = client.post(user.tasks, json={"title": "x"})
                if response.status_code == 201:
                    stored[user.id].append(response.json()["id"])
                else:
                    failures.append(response.status_code)

    writers = [threading.Thread(target=write, args=[user]) for user in users]
    for each in writers:
        each.start()
    try:
        shards = {cluster.shard_of(user.id): None for user in users}
        for target in (cluster.workers[1], cluster.workers[0]):
            for shard in shards:
                cluster.move(shard, target)
    finally:
        stop.set()
        for each in writers:
            each.join()

    for user in users:
        user.close()
    assert set(failures) <= {503}  # a move that takes longer than a request may wait
    for user in users:
        assert len(stored[user.id]) > 0
        ids = cluster.coordinator.query("SELECT id::text FROM tasks WHERE user_id = %s", user.id)
        assert set(stored[user.id]) <= set(ids)


def test_shard_without_row_level_security_is_not_used(cluster: Cluster, users: list[User]) -> None:
    node, user = cluster.workers[0], users[0]
    with closing(psycopg2.connect(as_application(node.url))) as stranger:
        assert query(stranger, f"SELECT id FROM {cluster.tables_of(user.id)['tasks']}") == []
    table = cluster.tables_of(user.id)["lists"]
    with administration(node.url) as execute:
        execute(f"{LOCALLY}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        try:
            execute(TERMINATE)
            assert eventually(lambda: user.get(user.tasks).status_code == 503)
            assert users[1].get(users[1].tasks).status_code == 200
        finally:
            execute(f"{LOCALLY}; ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    assert eventually(lambda: user.get(user.tasks).status_code == 200)


def test_standby_and_backup_are_refused_with_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    url = as_application(cluster.url)
    started = errand("serve", "--port", "0", DATABASE_URL=url, ERRAND_READ_URL=url)
    assert started.returncode == 1
    assert "ERRAND_READ_URL" in started.stderr
    backed_up = errand("backup", str(tmp_path / "backup"), DATABASE_URL=cluster.url)
    assert backed_up.returncode == 1
    assert "Citus" in backed_up.stderr
    assert "Traceback" not in started.stderr + backed_up.stderr


def test_trash_of_all_shards_is_purged(cluster: Cluster, users: list[User]) -> None:
    for node, user in zip(cluster.workers, users, strict=True):
        assert user.delete(user.creates("Old").url).status_code == 204
        table = cluster.tables_of(user.id)["tasks"]
        node.query(
            f"UPDATE {table} SET deleted_at = deleted_at - interval '99 days'"
            " WHERE user_id = %s RETURNING title",
            user.id,
        )

    done = errand("purge", DATABASE_URL=as_application(cluster.url))

    assert done.returncode == 0, done.stderr
    for user in users:
        assert user.get(user.trash).json() == []
        assert len(user.get(user.tasks).json()) == 1


def test_change_of_another_server_wakes_clients_that_wait_on_any_node(
    cluster: Cluster, users: list[User]
) -> None:
    with serving(DATABASE_URL=as_application(cluster.url)) as other:
        for user in users:
            copy = Copy(user)
            copy.catches_up()
            path = f"{other}{user.tasks}"
            writer = threading.Timer(0.2, httpx.post, [path], {"json": {"title": "News"}})
            writer.start()
            assert [each["title"] for each in copy.reads(wait=9)] == ["News"]
            writer.join()
