"""The principal: the user who sends a request, also one that is denied."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Union
from uuid import UUID

from openapi.http.problems import Kind, Problem
from openapi.http.response import Header

if TYPE_CHECKING:
    from openapi.access.tokens import Caller


class SampleUser(NamedTuple):
    """The caller of every request in open mode."""

    user_id: UUID = UUID("0190a1b2-0000-7000-8000-00000000a11c")
    issuer: None = None
    subject: None = None
    expires_at: None = None
    owner: None = None
    key_id: None = None


SAMPLE_USER = SampleUser()

Principal = Union["Caller", SampleUser]


class Denied(Problem):
    """Access is denied: to `caller`, if the token is valid; `key_id` is the key that it names."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        headers: Sequence[Header] = (),
        caller: Principal | None = None,
        key_id: str | None = None,
    ) -> None:
        super().__init__(kind, detail, headers=headers)
        self.caller = caller
        self.key_id = key_id

    def with_headers(self, headers: Sequence[Header]) -> "Denied":
        """The same denial with these additional headers."""
        headers = [*self.headers, *headers]
        return Denied(self.kind, str(self), headers=headers, caller=self.caller, key_id=self.key_id)
