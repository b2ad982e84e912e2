"""Signs of life."""

from db import health


async def get_liveness() -> dict[str, str]:
    """The process serves requests."""
    return {"status": "ok"}


async def get_readiness() -> dict[str, str]:
    """The database answers."""
    await health.ping()
    return {"status": "ok"}
