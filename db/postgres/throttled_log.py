"""Warnings about a state that may last, which would otherwise be logged for each request."""

import logging
import time

INTERVAL = 10.0

log = logging.getLogger("errand.database")


class ThrottledLog:
    """Logs a warning when it is new, and once per interval while it stays the same."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def warn(self, subject: str, message: str) -> None:
        """Log the message, unless the last one about the subject was the same a moment ago."""
        now = time.monotonic()
        last, logged_at = self._last.get(subject, ("", 0.0))
        if message != last or now - logged_at >= INTERVAL:
            self._last[subject] = message, now
            log.warning("%s", message)
