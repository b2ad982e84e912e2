"""Rate limits: the quota of a caller, and the response to a request over it."""

import asyncio
import resource
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import psutil
import pytest

from openapi.access import rate_limits as limits
from openapi.access.rate_limits import SECOND, WINDOW, CountedInProcess, Limiter, Quota, network
from openapi.http.problems import Problem
from tests.support import http
from tests.support.issuer import Issuer, SigningKey, new_private
from tests.support.responses import assert_problem, left
from tests.support.servers import Serve, executed, serving, trusting, url_of, wait_until_ready
from tests.support.users import User, new_address

QUOTA = 5


@pytest.fixture(scope="module")
def limited(database_url: str) -> Iterator[str]:
    with serving(DATABASE_URL=database_url, ERRAND_RATE_LIMIT=str(QUOTA)) as url:
        wait_until_ready(url)
        yield url


@pytest.fixture
def carol(limited: str) -> Iterator[User]:
    """A user of the server with limits, who has sent nothing yet."""
    with User(limited, address=new_address()) as user:
        yield user


def test_every_response_has_the_remaining_quota(carol: User) -> None:
    answers = [
        carol.post(carol.tasks, json={"title": "Buy milk"}),
        carol.get(carol.tasks),
        carol.get(f"{carol.tasks}/{uuid4()}"),
        carol.post(carol.tasks, json={}),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 404, 422]
    assert [left(answer) for answer in answers] == [4, 3, 2, 1]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=5;w=60'}
    assert answers[0].headers["RateLimit"] == '"default";r=4;t=12'


def test_request_over_the_quota_returns_429_with_retry_after(carol: User) -> None:
    allowed = [carol.get(carol.tasks).status_code for _ in range(QUOTA)]

    refused = carol.get(carol.tasks)

    assert set(allowed) == {200}
    assert_problem(refused, 429, "too-many-requests")
    assert refused.headers["Retry-After"] == "12"
    assert refused.headers["RateLimit"] == '"default";r=0;t=60'
    assert refused.headers["RateLimit-Policy"] == '"default";q=5;w=60'


def test_refused_request_changes_nothing_and_uses_no_quota(carol: User) -> None:
    statuses = [
        carol.post(carol.tasks, json={"title": "Buy milk"}).status_code for _ in range(QUOTA + 3)
    ]

    assert statuses == [201] * QUOTA + [429] * 3
    assert carol.get(carol.tasks).headers["Retry-After"] == "12"


def test_quota_returns_with_time(serve: Serve) -> None:
    with User(serve(ERRAND_RATE_LIMIT="120")) as carol:
        responses = [carol.get(carol.tasks) for _ in range(140)]
        refused = [each for each in responses if each.status_code == 429]
        time.sleep(int(refused[-1].headers["Retry-After"]))

        assert carol.get(carol.tasks).status_code == 200


def test_health_and_documentation_are_not_limited(limited: str) -> None:
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.yaml", "/nowhere"):
        answers = [http.get(limited + path) for _ in range(QUOTA + 1)]

        assert len({answer.status_code for answer in answers}) == 1
        assert "RateLimit" not in answers[-1].headers


def test_without_a_limit_there_are_no_rate_limit_headers(alice: User) -> None:
    assert {"ratelimit", "ratelimit-policy"}.isdisjoint(alice.get(alice.tasks).headers)


def test_limit_of_0_means_no_limit(serve: Serve) -> None:
    with User(serve(ERRAND_RATE_LIMIT="0")) as carol:
        assert "RateLimit" not in carol.get(carol.tasks).headers


def test_forwarded_address_of_an_untrusted_client_is_ignored(carol: User) -> None:
    answers = [
        carol.get(carol.tasks, headers={"X-Forwarded-For": f"203.0.113.{last}"})
        for last in range(3)
    ]

    assert [left(answer) for answer in answers] == [4, 3, 2]


def test_forwarded_address_of_a_trusted_proxy_is_used(serve: Serve) -> None:
    server = serve(
        ERRAND_OPEN="on",
        ERRAND_RATE_LIMIT=str(QUOTA),
        ERRAND_TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1",
    )
    with User(server) as carol:

        def left_to(forwarded: str) -> int:
            return left(carol.get(carol.tasks, headers={"X-Forwarded-For": forwarded}))

        assert left_to("203.0.113.1") == 4
        assert left_to("203.0.113.2") == 4
        assert left_to("203.0.113.3, 203.0.113.1") == 3
        assert left_to("203.0.113.1, 10.1.2.3") == 2


def test_bad_tokens_use_up_the_quota_of_their_address_before_any_other_is_verified(
    serve: Serve, issuer: Issuer
) -> None:
    server = serve(**trusting(issuer, ERRAND_RATE_LIMIT=str(QUOTA)))
    with User(server, issuer) as known, User(server, issuer) as unknown, User(server) as bad:
        assert known.get(known.tasks).status_code == 200
        token = issuer.token(bad.id, key=SigningKey("EdDSA", new_private("EdDSA"), issuer.key.kid))
        bad.headers["Authorization"] = f"Bearer {token}"

        statuses = [bad.get(bad.tasks).status_code for _ in range(QUOTA + 2)]
        unverified, remembered = unknown.get(unknown.tasks), known.get(known.tasks)

    assert statuses == [401] * QUOTA + [429] * 2
    assert_problem(unverified, 429, "too-many-requests")
    assert unverified.headers["Retry-After"] == "12"
    assert (remembered.status_code, left(remembered)) == (200, QUOTA - 2)


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::7", "2001:db8:1:2::"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("fe80::1%eth0", "fe80::"),
        ("no:address", "?"),
        ("0190a1b2000070008000000000000a11", "?"),
    ],
)
def test_addresses_of_one_network_are_one_caller(address: str, counted_as: str) -> None:
    assert network(address) == counted_as


def test_callers_have_separate_quotas() -> None:
    limiter = Limiter(1)

    async def spend(*callers: str) -> None:
        for caller in callers:
            await limiter.spend(caller)

    asyncio.run(spend("alice", "bob"))
    with pytest.raises(Problem):
        asyncio.run(spend("alice"))


def test_number_of_remembered_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_CALLERS", 100)
    counted = CountedInProcess(Quota(1))

    for number in range(10_000):
        counted.debt(str(number), 1, spends=True)

    assert len(counted._recent) + len(counted._earlier) <= 200


@pytest.mark.parametrize("requests", [1, 7, 60, 600, 999_999, 1_000_000])
def test_quota_is_exact(requests: int) -> None:
    quota = Quota(requests)

    assert quota.full / quota.cost == requests
    assert quota.full <= WINDOW * SECOND


def test_limit_of_open_files_allows_the_limit_of_connections(
    new_database: Callable[[], str],
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        process = executed(DATABASE_URL=new_database(), ERRAND_CONNECTION_LIMIT="300")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        http.get(url_of(process) + "/health/live")
        allowed, _ = psutil.Process(process.pid).rlimit(psutil.RLIMIT_NOFILE)
        assert allowed > 300
    finally:
        process.terminate()
        process.communicate(timeout=20)
