"""The promise that concurrent requests go as if one came after the other."""

from tests.proof.history import is_linearizable
from tests.proof.observed import seen_by_many, state_of
from tests.proof.promises.scene import Scene


def concurrent_requests_about_one_task_are_linearizable(scene: Scene) -> str:
    """Reads and writes of every kind: some order of them explains each response."""
    user, scale = scene.user, scene.scale
    calls = 0
    for _ in range(scale.rounds):
        task = user.creates("old")
        seen = seen_by_many([user] * scale.writers, task, scale.writes)
        unexpected = {each.status for each in seen} - {200, 204, 404, 412}
        assert not unexpected, f"a response has the status {unexpected}"
        assert is_linearizable(state_of(task.document), seen), (
            f"no order of these {len(seen)} requests explains their responses"
        )
        calls += len(seen)
    return f"{calls:,} requests of {scale.writers} clients at once, in {scale.rounds} histories"
