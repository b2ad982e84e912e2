"""An issuer that a test may break, and a key that is too short."""

from collections.abc import Iterator

import pytest

from tests.support.issuer import Issuer, SigningKey, new_private, running_issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer of the test's own."""
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="session")
def weak() -> SigningKey:
    """An RSA key that is too short."""
    return SigningKey("RS256", new_private("RS256", bits=1024))
