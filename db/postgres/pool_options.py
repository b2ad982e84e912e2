"""The options of a pool."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class PoolOptions:
    """The database's URL, the number of connections, and the time limits."""

    url: str
    size: int
    connect_timeout: float
    wait_timeout: float
    overload_timeout: float
    statement_timeout: float
    is_distributed: bool = False
    """Whether the tables are known to be distributed over the nodes of a cluster."""

    session: tuple[str, ...] = ()
    """What each session is set to, besides what all are."""

    most_prepared: int = 64
    """The number of statements that a session keeps prepared besides those of the catalogue."""

    def for_a_command(self) -> "PoolOptions":
        """The options for one connection; a request waits as long as connecting may take."""
        longest = self.connect_timeout
        return replace(self, size=1, wait_timeout=longest, overload_timeout=longest)
