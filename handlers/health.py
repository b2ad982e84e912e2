"""Liveness and readiness."""

from db import health, zones
from handlers.context import Context


async def get_liveness(context: Context) -> dict[str, str]:
    """The process serves requests."""
    return {"status": "ok"}


async def get_readiness(context: Context) -> dict[str, str]:
    """The database responds; and which release of the time zones is in use."""
    await health.ping(context.database)
    return {"status": "ok", "time_zones": zones.VERSION}
