"""Shards move while clients write to them."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from db.postgres.roles import as_application
from tests.support.citus import Cluster, needs_citus, new_user
from tests.support.polling import eventually
from tests.support.servers import serving
from tests.support.users import User, all_tasks

pytestmark = [needs_citus, pytest.mark.long]


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[str]:
    """A server of the cluster."""
    with serving(DATABASE_URL=as_application(cluster.url)) as url:
        yield url


class Writer(threading.Thread):
    """Creates and toggles tasks of a user, and remembers what was confirmed."""

    def __init__(self, user: User) -> None:
        super().__init__()
        self.user = user
        self.confirmed: dict[str, bool] = {}
        self.refused: list[int] = []
        self._stop_requested = threading.Event()

    def run(self) -> None:
        """Write until it is stopped."""
        for number in count():
            if self._stop_requested.is_set():
                break
            created = self.user.post(self.user.tasks, json={"title": f"Task {number}"})
            if created.status_code != 201:
                self.refused.append(created.status_code)
                continue
            task = created.json()["id"]
            self.confirmed[task] = False
            toggled = self.user.patch(f"{self.user.tasks}/{task}/complete")
            if toggled.status_code == 200:
                self.confirmed[task] = True
            else:
                self.refused.append(toggled.status_code)

    def stop(self) -> None:
        """Finish the request, and stop."""
        self._stop_requested.set()
        self.join(30)


def test_shard_that_moves_under_load_loses_no_write(cluster: Cluster, server: str) -> None:
    source, target = cluster.workers
    [shard, *_] = cluster.shards_on(source)
    writers = [
        Writer(new_user(server, lambda user: cluster.shard_of(user.id) == shard)) for _ in range(3)
    ]

    def all_write() -> bool:
        before = [len(each.confirmed) for each in writers]
        return eventually(
            lambda: all(len(w.confirmed) > n + 5 for w, n in zip(writers, before, strict=True))
        )

    for each in writers:
        each.start()
    try:
        assert all_write()
        cluster.move(shard, target)
        assert all_write()
        cluster.move(shard, source)
        assert all_write()
    finally:
        for each in writers:
            each.stop()

    for each in writers:
        stored = {task["id"]: task["completed"] for task in all_tasks(each.user, each.user.tasks)}
        assert set(each.confirmed) <= set(stored)
        assert all(stored[task] for task, toggled in each.confirmed.items() if toggled)
        assert set(each.refused) <= {503}
        each.user.close()
