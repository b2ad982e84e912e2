"""When the keys of an issuer are fetched, and when a token is verified without a fetch."""

import asyncio

from openapi.access.key_sources import TIMEOUT
from tests.support.issuer import Issuer, SigningKey, new_private, running_issuer
from tests.support.verifying import RunningVerifier, eventually, run, without_waiting


def test_concurrent_first_tokens_share_one_fetch(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            tokens = [issuer.token(f"user {number}") for number in range(50)]

            assert all(await asyncio.gather(*(api.verify(token) for token in tokens)))

            assert issuer.requests == 1

    run(scene)


def test_first_token_with_a_new_key_triggers_one_fetch(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, pause=0) as api:
            old = issuer.token()
            assert await api.verify(old)
            issuer.rotate()

            tokens = [issuer.token(f"user {number}") for number in range(50)]
            assert all(await asyncio.gather(*(api.verify(token) for token in tokens)))

            assert await api.verify(old)
            assert issuer.requests == 2

    run(scene)


def test_key_newer_than_the_fetch_in_progress_is_fetched(issuer: Issuer) -> None:
    async def is_asked() -> bool:
        return issuer.requests == 1

    async def scene() -> None:
        issuer.is_slow(0.2)
        async with RunningVerifier(issuer) as api:
            assert await eventually(is_asked)
            issuer.rotate()

            assert await api.verify(issuer.token())

            assert issuer.requests == 2

    run(scene)


def test_unknown_keys_trigger_one_fetch_per_pause(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, pause=1.5) as api:
            assert await api.verify(issuer.token())
            first, *others = [api.token_with_unknown_key() for _ in range(50)]
            assert not await api.verify(first)
            for token in others:
                assert not without_waiting(api.verify(token))
            assert issuer.requests == 1 + 1
            await asyncio.sleep(1.55)

            tokens = [api.token_with_unknown_key() for _ in range(50)]
            assert not any(await asyncio.gather(*(api.verify(token) for token in tokens)))
            for token in tokens:
                assert not without_waiting(api.verify(token))

            assert issuer.requests == 1 + 2

    run(scene)


def test_known_keys_verify_without_waiting_for_a_fetch(issuer: Issuer) -> None:
    async def fetched_twice() -> bool:
        return issuer.requests == 2

    async def scene() -> None:
        async with RunningVerifier(issuer, pause=0) as api:
            assert await api.verify(issuer.token())
            issuer.hangs()
            unknown = [api.token_with_unknown_key() for _ in range(20)]
            waiting = [asyncio.create_task(api.verify(token)) for token in unknown]
            assert await eventually(fetched_twice)

            for number in range(20):
                assert without_waiting(api.verify(issuer.token(f"user {number}")))

            assert issuer.requests == 2
            assert not any(each.done() for each in waiting)
            issuer.recovers()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(scene)


def test_cancelled_caller_does_not_cancel_the_fetch_of_others(issuer: Issuer) -> None:
    async def scene() -> None:
        issuer.is_slow(0.3)
        async with RunningVerifier(issuer) as api:
            leaving = asyncio.create_task(api.verify(issuer.token("bob")))
            staying = asyncio.create_task(api.verify(issuer.token("alice")))
            await asyncio.sleep(0.1)
            leaving.cancel()

            assert await staying
            assert leaving.cancelled()
            assert issuer.requests == 1

    run(scene)


def test_keys_are_refreshed_in_the_background_until_closed(issuer: Issuer) -> None:
    async def scene() -> None:
        async def fetched_thrice() -> bool:
            return issuer.requests >= 3

        async with RunningVerifier(issuer, interval=0.05):
            assert await eventually(fetched_thrice)
        await asyncio.sleep(0.1)  # one may be on its way
        stopped = issuer.requests
        await asyncio.sleep(0.2)
        assert issuer.requests == stopped

    run(scene)


def test_background_fetches_keep_their_interval(issuer: Issuer) -> None:
    async def scene() -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        async with RunningVerifier(issuer, interval=0.05):
            await asyncio.sleep(0.5)
        assert issuer.requests <= 1 + (clock() - began) / 0.05

    run(scene)


def test_closing_cancels_a_fetch_in_progress(issuer: Issuer) -> None:
    async def scene() -> None:
        issuer.hangs()
        async with asyncio.timeout(TIMEOUT):
            async with RunningVerifier(issuer):
                await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scene)


def test_withdrawn_key_verifies_no_token_not_even_a_remembered_one(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05) as api:
            old = issuer.token("alice")
            assert await api.verify(old)
            issuer.rotate(forget=True)
            new = issuer.token("alice")

            assert await eventually(lambda: api.verify(new))

            assert not api.remembers(old)
            assert await api.verify(old) is None
            assert api.remembers(new)

    run(scene)


def test_every_key_can_be_withdrawn(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05, pause=0) as api:
            token = issuer.token()
            assert await api.verify(token)
            issuer.published = []

            async def is_refused() -> bool:
                return await api.verify(token) is None

            assert await eventually(is_refused)

    run(scene)


def test_key_replaced_under_its_id_verifies_no_earlier_token(issuer: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05) as api:
            old = issuer.token("alice")
            assert await api.verify(old)
            changed = SigningKey("EdDSA", new_private("EdDSA"), kid=issuer.key.kid)
            issuer.published = [changed.jwk]

            assert await eventually(lambda: api.verify(issuer.token("alice", key=changed)))

            assert not api.remembers(old)
            assert await api.verify(old) is None

    run(scene)


def test_redirect_is_not_followed(issuer: Issuer) -> None:
    async def scene() -> None:
        with running_issuer() as elsewhere:
            issuer.redirects_to(elsewhere.jwks_url)
            async with RunningVerifier(issuer) as api:
                assert await api.has_no_keys_for(elsewhere.token(iss=issuer.url))
            assert elsewhere.requests == 0

    run(scene)
