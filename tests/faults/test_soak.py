"""A server takes no more after many faults than before; one that leaks is found."""

import secrets

import pytest

from tests.faults.soak import soak

SECONDS = 45
LEAKING_SECONDS = 30


@pytest.mark.long
def test_soak_of_a_minute_leaves_nothing_behind() -> None:
    soaked = soak(SECONDS, secrets.randbits(32))

    print(*soaked.growths, soaked.strikes, sep="\n")
    assert [each.name for each in soaked.growths if not each.is_flat] == []


@pytest.mark.long
def test_soak_of_a_server_that_leaks_finds_memory_and_descriptors() -> None:
    soaked = soak(LEAKING_SECONDS, secrets.randbits(32), "tests.faults.leaking")

    print(*soaked.growths, soaked.strikes, sep="\n")
    grown = {each.name for each in soaked.growths if not each.is_flat}
    assert grown == {"rss", "pss", "descriptors"}
