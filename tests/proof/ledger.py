"""What a user's tasks must be, computed write by write."""

from typing import Any

import httpx

from tests.proof.clients import Kind, Write
from tests.support.fields import WRITABLE, defaults_at

Fields = dict[str, Any]

REFUSED = {404, 409, 412}


class Violation(AssertionError):
    """The server has lost, doubled or overwritten something."""


class Ledger:
    """Every write that was done, in order; each change must be the work of one of them."""

    def __init__(self) -> None:
        self.tasks: dict[str, Fields] = {}
        self.trash: dict[str, Fields] = {}
        self.done: dict[Write, int] = {}
        self.refused: set[Write] = set()
        self.is_violated = False

    def change(self, write: Write, change: Fields) -> None:
        """The server's data has changed during this write."""
        self._require(write not in self.done, f"{write} was done again: {change}")
        self._require(write not in self.refused, f"{write} was refused, and done: {change}")
        before = self._before(write, change["id"])
        after = None if "deleted_at" in change else {name: change[name] for name in WRITABLE}
        wanted = _applied(write, before, change["revision"])
        self._require(after == wanted, f"{write} has made {after}, and not {wanted}")
        self._book(write, change, before)

    def response(self, write: Write, response: httpx.Response) -> None:
        """The client has a response to the write."""
        body = response.json() if response.content else {}
        if self._is_idle(write, body):
            self.refused.add(write)
        elif response.is_success:
            self._require(
                write in self.done, f"{write} succeeded without an effect: {response.text}"
            )
            revision = body.get("revision", self.done.get(write))
            self._require(revision == self.done.get(write), f"{write} is not what made {body}")
        else:
            self._refusal(write, response, body)

    def _is_idle(self, write: Write, body: Fields) -> bool:
        """Whether it restored an active task of the version that it names, without effect."""
        is_active = write.kind is Kind.RESTORE and body.get("revision") == write.base
        return is_active and write not in self.done

    def _refusal(self, write: Write, response: httpx.Response, body: Fields) -> None:
        self._require(response.status_code in REFUSED, f"{write}: {response.text}")
        if write.kind is Kind.CREATE:
            self._require(write in self.done and write.key is None, f"{write}: {response.text}")
            return
        self._require(write not in self.done, f"{write} was done, and refused: {response.text}")
        if write not in self.refused and "idempotency-replayed" not in response.headers:
            self._justified(write, response.status_code, body)
        self.refused.add(write)

    def purged(self) -> None:
        """The trash was emptied."""
        self.trash.clear()

    def check_copy(self, copy: dict[str, Fields], whose: str) -> None:
        """A copy has every task, and nothing else."""
        self._require(copy == self.tasks, f"{whose} has {copy}, and not {self.tasks}")

    def check_revision(self, grown: int, copies: int) -> None:
        """A write takes one revision; a concurrent copy of it may waste one more."""
        self._require(0 <= grown <= copies, f"{grown} revisions were taken")

    def check_outcome(self, write: Write) -> None:
        """A write that was sent until it had a response is done or refused, never both."""
        is_known = (write in self.done) != (write in self.refused)
        self._require(is_known, f"{write} is neither done nor refused")

    def _before(self, write: Write, task_id: str) -> Fields | None:
        """The task as the write found it, which must be as its client last saw it."""
        if write.kind is Kind.CREATE:
            known = task_id in self.tasks or task_id in self.trash
            self._require(not known and write.task_id in (None, task_id), f"{write} was there")
            return None
        self._require(write.task_id == task_id, f"{write} has changed {task_id}")
        before = (self.trash if write.kind is Kind.RESTORE else self.tasks).get(task_id)
        self._require(before is not None, f"{write} has changed what was not there")
        assert before is not None
        if write.is_conditional:
            seen = before["revision"] == write.base
            self._require(seen, f"{write} has overwritten {before}, which its client had not seen")
        return before

    def _book(self, write: Write, change: Fields, before: Fields | None) -> None:
        task_id, revision = change["id"], change["revision"]
        latest = max(self.done.values(), default=0)
        self._require(revision > latest, f"{write} has revision {revision}, after {latest}")
        self.done[write] = revision
        self.tasks.pop(task_id, None)
        self.trash.pop(task_id, None)
        if write.kind is Kind.DELETE:
            assert before is not None
            self.trash[task_id] = {**before, "revision": revision}
        else:
            self.tasks[task_id] = change

    def _justified(self, write: Write, status: int, body: Fields) -> None:
        """The refusal agrees with the present state."""
        task = self.tasks.get(write.task_id or "")
        if status == 412:
            shown = body["current" if task else "deleted_task"]
            there = task or self.trash.get(write.task_id or "")
            self._require(there is not None, f"{write}: {body} shows what is not there")
            assert there is not None
            self._require(there["revision"] == shown["revision"] != write.base, f"{write}: {body}")
        elif write.kind is Kind.RESTORE:
            known = task or write.task_id in self.trash
            self._require(not known, f"{write}: {body}, but it is there")
        else:
            self._require(task is None, f"{write}: {body}, but it is {task}")

    def _require(self, holds: bool, words: str) -> None:
        if not holds:
            self.is_violated = True
            raise Violation(words)


def _applied(write: Write, before: Fields | None, revision: int) -> Fields | None:
    """The fields of the task after the write with this revision."""
    was = {name: before[name] for name in WRITABLE} if before else {}
    match write.kind:
        case Kind.CREATE:
            return {**defaults_at(revision), **write.fields}
        case Kind.UPDATE:
            return {**was, **write.fields}
        case Kind.TOGGLE:
            return {**was, "completed": not was["completed"]}
        case Kind.DELETE:
            return None
        case Kind.RESTORE:
            return was
