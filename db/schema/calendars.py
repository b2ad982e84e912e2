"""The calendars of users: their secrets, as hashes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, Index, LargeBinary, Uuid, text
from sqlmodel import Field, SQLModel


class Calendar(SQLModel, table=True):
    """The secret path at which a user's dated tasks can be read; a user has one at the most.

    `secret_hash` is the SHA-256 of the secret: 256 random bits need no salt, and no slow hash.
    """

    __tablename__ = "calendars"
    __table_args__ = (Index("calendars_by_secret", "secret_hash"),)

    user_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    )
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )
