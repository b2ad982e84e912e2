"""What becomes of tokens while an issuer's keys cannot be fetched."""

import asyncio
import gzip
from collections.abc import Callable

import pytest

from openapi.access.key_sources import LARGEST
from tests.support.issuer import Issuer
from tests.support.verifying import RunningVerifier, eventually, run, without_waiting

OUTAGE = 1.0
LONGER_THAN_ANY_TIMEOUT = 5

FAILURES: dict[str, Callable[[Issuer], None]] = {
    "stops": Issuer.stops,
    "hangs": Issuer.hangs,
    "sends byte by byte": Issuer.drips,
    "responds 500 with keys": Issuer.fails,
    "responds 404 with keys": lambda issuer: issuer.fails(404),
    "responds 203 with keys": lambda issuer: issuer.fails(203),
    "sends garbage": lambda issuer: issuer.says(b"<html>Under maintenance</html>"),
    "sends nothing": lambda issuer: issuer.says(b""),
    "sends half": lambda issuer: issuer.says(issuer.document[:-9]),
    "breaks off": lambda issuer: issuer.says(issuer.document[:-9], content_length="9999"),
    "sends null": lambda issuer: issuer.says(b"null"),
    "sends broken keys": lambda issuer: issuer.says(b'{"keys":[{"kid":"x"}]}'),
    "sends without end": Issuer.is_huge,
    "sends a set that is too large": lambda issuer: issuer.is_huge(LARGEST),
    "compresses": lambda issuer: issuer.says(
        gzip.compress(issuer.document), content_encoding="gzip"
    ),
    "sends a key in PEM": lambda issuer: issuer.says(issuer.key.pem.encode()),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_known_keys_outlive_an_outage_and_nothing_waits_when_the_issuer(
    issuer: Issuer, fail: Callable[[Issuer], None]
) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.1, pause=0.1, timeout=0.3) as api:
            remembered = issuer.token("bob")
            assert await eventually(lambda: api.verifies(remembered))
            good = [issuer.token(f"user {number}") for number in range(10)]
            unknown = [api.token_with_unknown_key() for _ in range(10)]
            fail(issuer)
            assert await eventually(lambda: api.has_no_keys_for(unknown[0]))

            assert all(without_waiting(api.verify(token)) for token in good)
            assert all(without_waiting(api.has_no_keys_for(token)) for token in unknown)

            assert api.remembers(remembered)

    run(scene)


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_without_any_key_one_fetch_is_waited_for_and_no_other_when_the_issuer(
    issuer: Issuer, fail: Callable[[Issuer], None]
) -> None:
    async def scene() -> None:
        fail(issuer)
        async with RunningVerifier(issuer, pause=0.1, timeout=0.3) as api:
            async with asyncio.timeout(LONGER_THAN_ANY_TIMEOUT):
                assert await api.has_no_keys_for(issuer.token())

            for _ in range(20):
                assert without_waiting(api.has_no_keys_for(issuer.token()))

    run(scene)


@pytest.mark.parametrize("has_keys", [True, False])
def test_nothing_waits_for_a_retry(issuer: Issuer, has_keys: bool) -> None:
    async def scene() -> None:
        if not has_keys:
            issuer.fails()
        async with RunningVerifier(issuer, interval=0.1, pause=0.1) as api:
            assert await api.has_no_keys_for(issuer.token()) is not has_keys
            issuer.fails()
            token = api.token_with_unknown_key()
            assert await eventually(lambda: api.has_no_keys_for(token))
            issuer.hangs()
            await asyncio.sleep(0.3)

            assert without_waiting(api.has_no_keys_for(token))

    run(scene)


@pytest.mark.parametrize("pause", [0.2, 5.0])
def test_failed_fetch_is_retried_after_a_pause(issuer: Issuer, pause: float) -> None:
    async def scene() -> None:
        issuer.fails()
        clock = asyncio.get_running_loop().time
        began = clock()
        async with RunningVerifier(issuer, pause=pause) as api:
            while clock() - began < 1.1:
                assert await api.has_no_keys_for(issuer.token())
                await asyncio.sleep(0.02)
            assert issuer.requests <= 1 + (clock() - began) / pause
            assert issuer.requests >= (1 if pause > 1 else 2)

    run(scene)


def test_keys_are_used_again_after_an_outage(issuer: Issuer) -> None:
    async def scene() -> None:
        issuer.stops()
        async with RunningVerifier(issuer, pause=0.1) as api:
            assert await api.has_no_keys_for(issuer.token())
            issuer.starts()

            assert await eventually(lambda: api.verifies(issuer.token()))

    run(scene)


def test_keys_expire_in_a_long_outage_and_return_after_it(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.1, pause=0.1, longest_outage=OUTAGE) as api:
            token = issuer.token()
            assert await api.verify(token)
            issuer.fails()
            await asyncio.sleep(OUTAGE / 2)
            assert api.remembers(token)
            await asyncio.sleep(OUTAGE)

            assert not api.remembers(token)
            assert await api.has_no_keys_for(token)
            issuer.recovers()

            async def is_remembered() -> bool:
                return api.remembers(token)

            assert await eventually(is_remembered)
            assert await api.verify(issuer.token("bob"))

    run(scene)


def test_refreshed_key_keeps_tokens_remembered_beyond_the_longest_outage(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05, longest_outage=OUTAGE) as api:
            token = issuer.token("alice")
            assert await api.verify(token)
            issuer.rotate()

            assert await eventually(lambda: api.verify(issuer.token("bob")))
            await asyncio.sleep(OUTAGE)

            assert api.remembers(token)

    run(scene)


def test_outage_and_its_end_are_logged_once(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05, pause=0.05) as api:
            assert await api.verify(issuer.token())
            issuer.fails()
            await asyncio.sleep(0.5)
            issuer.recovers()

            async def is_logged() -> bool:
                return len(caplog.records) > 1

            assert await eventually(is_logged)
            await asyncio.sleep(0.2)

    caplog.set_level("INFO", "errand.tokens")
    run(scene)

    assert [record.getMessage() for record in caplog.records] == [
        f"the keys of tokens are not available from {issuer.jwks_url}: "
        "the response is 500, not 200",
        f"the keys of tokens are available again from {issuer.jwks_url}",
    ]
