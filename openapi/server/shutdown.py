"""What is done at once when the server begins to stop, while it still serves requests."""

from collections.abc import Callable


class Shutdown:
    """Runs actions when the server begins to stop; they must bear to be run more than once."""

    def __init__(self) -> None:
        self._actions: list[Callable[[], None]] = []

    def calls(self, action: Callable[[], None]) -> None:
        """Have this called."""
        self._actions.append(action)

    def begin(self) -> None:
        """Run the actions."""
        for action in self._actions:
            action()
