"""Rate limits count the operations of a batch: it costs as many requests as it has."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from openapi.access.rate_limits import Limiter
from openapi.contract.document import CONTRACT
from openapi.http.problems import Problem
from tests.support.changed_contracts import reason_for_refusal
from tests.support.idempotency import key
from tests.support.redis import Redis, needs_redis
from tests.support.responses import assert_problem, left
from tests.support.servers import serving
from tests.support.users import User, new_address

QUOTA = 10
COST = "x-rate-limit-cost: operations"


@pytest.fixture(scope="module", params=["in memory", pytest.param("in Redis", marks=needs_redis)])
def counting(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    """A server that counts requests."""
    settings = {"ERRAND_RATE_LIMIT": str(QUOTA), "DATABASE_URL": database_url}
    with ExitStack() as stack:
        if request.param == "in Redis":
            redis = Redis()
            stack.callback(redis.dies)
            settings["ERRAND_REDIS_URL"] = redis.url
        yield stack.enter_context(serving(**settings))


@pytest.fixture
def carol(counting: str) -> Iterator[User]:
    """A user of the server, who has sent no request yet."""
    with User(counting, address=new_address()) as user:
        yield user


def batch_of(user: User, size: int, **headers: str) -> httpx.Response:
    """Send a batch with so many operations that create a task."""
    operations: list[Any] = [{"op": "create", "title": "Buy milk"}] * size
    return user.post(f"{user.tasks}/batch", json={"operations": operations}, headers=headers)


def test_batch_costs_as_many_requests_as_it_has_operations(carol: User) -> None:
    responses = [batch_of(carol, 1), batch_of(carol, 4), carol.get(carol.tasks)]

    assert [each.status_code for each in responses] == [200] * 3
    assert [left(each) for each in responses] == [9, 5, 4]
    assert len(responses[-1].json()) == 5


def test_batch_over_the_quota_is_refused_whole_with_retry_after(carol: User) -> None:
    assert left(batch_of(carol, 7)) == 3

    refused = batch_of(carol, 4)

    problem = assert_problem(refused, 429, "too-many-requests")
    assert "counts as 4" in problem["detail"]
    assert refused.headers["Retry-After"] == "12"  # for itself, and for its first request again
    assert refused.headers.get_list("RateLimit") == ['"default";r=2;t=48']
    assert refused.headers.get_list("RateLimit-Policy") == ['"default";q=10;w=60']
    rest = carol.get(carol.tasks)
    assert (len(rest.json()), left(rest)) == (7, 1)


@pytest.mark.parametrize("size", [2, 4, QUOTA, 3 * QUOTA])
def test_batch_is_done_after_the_seconds_of_its_retry_after(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000_000_000]
    monkeypatch.setattr(time, "monotonic_ns", lambda: clock[0])
    limiter = Limiter(QUOTA)

    async def send(operations: int) -> None:
        quota = await limiter.spend("carol")
        await quota.charge(operations)

    asyncio.run(send(QUOTA - 1))
    with pytest.raises(Problem) as refused:
        asyncio.run(send(size))
    clock[0] += int(dict(refused.value.headers)[b"retry-after"]) * 1_000_000_000

    asyncio.run(send(size))


def test_batch_that_is_larger_than_the_quota_needs_all_of_it(carol: User) -> None:
    responses = [batch_of(carol, QUOTA + 1), carol.get(carol.tasks)]

    assert [each.status_code for each in responses] == [200, 429]
    assert left(responses[0]) == 0


def test_replayed_batch_costs_one_request(carol: User) -> None:
    first, again = (batch_of(carol, 5, **key()) for _ in range(2))

    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    assert [left(first), left(again)] == [5, 4]


def test_batch_over_the_quota_is_not_stored_under_its_key(carol: User) -> None:
    batch_of(carol, 7)
    assert_problem(batch_of(carol, 4, **key()), 429, "too-many-requests")

    done = batch_of(carol, 2, **key())

    assert (done.status_code, left(done)) == (200, 0)


def test_invalid_batch_costs_one_request_and_a_refused_one_all(carol: User) -> None:
    unknown: list[Any] = [{"op": "toggle", "id": str(uuid4())}] * 3
    bodies: list[Any] = [{"operations": [{}] * 5}, {"operations": unknown}]

    responses = [carol.post(f"{carol.tasks}/batch", json=body) for body in bodies]

    assert [each.status_code for each in responses] == [422, 404]
    assert [left(each) for each in responses] == [9, 6]


def test_concurrent_batches_never_exceed_the_quota(carol: User) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = [each.status_code for each in pool.map(lambda _: batch_of(carol, 3), range(8))]

    assert set(statuses) == {200, 429}
    assert statuses.count(200) <= QUOTA // 3


REFUSED = {
    "a field that the body does not have": (
        f"{COST}\n",
        "x-rate-limit-cost: tasks\n",
        "the body needs the field",
    ),
    "a field that is no array": (
        f"{COST}\n",
        "x-rate-limit-cost: atomic\n",
        "the body needs the field",
    ),
    "an operation without a body": (
        "      operationId: get_me\n",
        f"      operationId: get_me\n      {COST}\n",
        "the body needs the field",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_contract_is_refused_whose_cost_is_in(case: str, tmp_path: Path) -> None:
    old, new, reason = REFUSED[case]

    assert reason in reason_for_refusal(CONTRACT, old, new, tmp_path)
