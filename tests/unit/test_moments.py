"""Moments of a page: PostgreSQL writes them in JSON without zeros at the end."""

import pytest

from db.tasks.dates import moments_of

WHOLE = "2026-01-31T09:26:53"


@pytest.mark.parametrize(
    ("written", "moments"),
    [
        ([], []),
        ([f"{WHOLE}.589793", f"{WHOLE}.5"], [f"{WHOLE}.589793Z", f"{WHOLE}.500000Z"]),
        ([WHOLE, WHOLE], [f"{WHOLE}.000000Z", f"{WHOLE}.000000Z"]),
        ([f"{WHOLE}.25", WHOLE], [f"{WHOLE}.250000Z", f"{WHOLE}.000000Z"]),
        ([WHOLE, f"{WHOLE}.25"], [f"{WHOLE}.000000Z", f"{WHOLE}.250000Z"]),
        ([None, f"{WHOLE}.000001", WHOLE], [None, f"{WHOLE}.000001Z", f"{WHOLE}.000000Z"]),
    ],
    ids=str,
)
def test_moments_have_six_digits_and_a_zone(
    written: list[str | None], moments: list[str | None]
) -> None:
    assert moments_of(written) == moments
