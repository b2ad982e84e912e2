"""Actions at the begin of a stop, while the server still serves requests."""

from collections.abc import Callable


class Shutdown:
    """Runs actions when the server begins to stop; an action may run more than once."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []

    def add(self, action: Callable[[], None]) -> None:
        """Add an action."""
        self._actions.append(action)

    def begin(self) -> None:
        """Run the actions."""
        for action in self._actions:
            action()
