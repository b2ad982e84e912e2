"""The context of a request: what a handler gets besides the parameters and the body."""

from datetime import datetime
from typing import NamedTuple, Protocol, TypedDict
from uuid import UUID

from db.database import Database, Session
from db.errors import Refused
from db.tasks.change_notifications import ChangeNotifications
from db.tasks.streams import Streams
from db.transfers.transfers import Transfers


class Principal(Protocol):
    """The user who sends a request; the sample user of open mode has nothing but an id."""

    @property
    def user_id(self) -> UUID:
        """The owner of the user's data."""

    @property
    def issuer(self) -> str | None:
        """The issuer of the user's token."""

    @property
    def subject(self) -> str | None:
        """The user's name at the issuer."""

    @property
    def expires_at(self) -> datetime | None:
        """When the token expires."""


class State(TypedDict):
    """What all requests share: it is made when the server starts."""

    database: Database
    notifications: ChangeNotifications
    streams: Streams
    transfers: Transfers


class RefusedOperation(NamedTuple):
    """An operation of a batch that was not done, and the id of the batch's request."""

    refused: Refused
    request_id: str


class Context(NamedTuple):
    """The first argument of every handler."""

    database: Session
    """The database, or for a request with an Idempotency-Key the transaction of its claim."""

    notifications: ChangeNotifications
    """What a long poll waits for."""

    streams: Streams

    transfers: Transfers

    caller: Principal

    requires_if_match: bool
    """Whether a change of a task must name the version of the task."""

    max_tasks: int
    """The most tasks that are stored for one user."""

    max_lists: int
    """The most lists that are stored for one user."""

    media_type: str
    """The media type that the client prefers of those that the contract offers."""

    request_id: str
    """The id of the request in the log and in problem documents."""
