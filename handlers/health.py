"""Liveness and readiness."""

from db import health
from handlers.context import Context


async def get_liveness(context: Context) -> dict[str, str]:
    """The process serves requests."""
    return {"status": "ok"}


async def get_readiness(context: Context) -> dict[str, str]:
    """The database responds."""
    await health.ping(context.database)
    return {"status": "ok"}
