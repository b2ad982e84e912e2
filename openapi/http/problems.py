"""Problem documents (RFC 9457): the text and the form of every error that a client gets."""

import logging
import math
from collections.abc import Mapping, Sequence
from random import randint
from typing import Any, NamedTuple

import orjson

from db import errors
from handlers.links import path_of_list, path_of_task
from openapi.http.response import Header, Response
from openapi.http.security_headers import WITH_ERRORS

log = logging.getLogger("errand")

PROBLEM_JSON = b"application/problem+json"
RETRY_AFTER = (b"retry-after", b"1")
LATEST_RETRY = 5
LONGEST_RETRY = 3600
MOST_FAULTS = 100
UNEXPECTED = "An unexpected error occurred. The server has logged it."


class Kind(NamedTuple):
    """A kind of problem: its status, its stable name, what it means, and what a client can do."""

    status: int
    name: str
    title: str
    advice: str


# fmt: off
MALFORMED        = Kind(400, "malformed-request",      "The request cannot be parsed",              "Send well-formed JSON in UTF-8. Percent-encode the path and the query.")
WRONG_HOST       = Kind(400, "wrong-host",             "The server does not have this name",         "Use the IP address of the server, or `localhost`. The operator of the server can allow other names with `ERRAND_HOSTS`.")
CROSS_SITE       = Kind(400, "cross-site-write",       "A page of another site may not write",      "The operator of the server can allow the origin of the page with `ERRAND_CORS_ORIGINS`.")
UNAUTHENTICATED  = Kind(401, "unauthenticated",        "A valid token is required",                 "Send a token of the issuer that this server trusts, as `Authorization: Bearer <token>`.")
FORBIDDEN        = Kind(403, "not-yours",              "This belongs to another user",              "Use the `user_id` that `GET /api/me` returns. The response is the same whether the other user exists or not.")
TOO_MANY_TASKS   = Kind(403, "too-many-tasks",         "The user has too many tasks",               "Delete tasks that are not needed any more: each counts until it is purged from the trash. The operator of the server can allow more with `ERRAND_MAX_TASKS`.")
TOO_MANY_LISTS   = Kind(403, "too-many-lists",         "The user has too many lists",               "Delete lists that are not needed any more: each counts until it is purged from the trash. The operator of the server can allow more with `ERRAND_MAX_LISTS`.")
UNKNOWN_PATH     = Kind(404, "unknown-path",           "This path does not exist",                  "The contract, `/openapi.yaml`, lists every path. A path with a slash at its end is another path.")
TASK_NOT_FOUND   = Kind(404, "task-not-found",         "The task does not exist",                   "Check the id. This user never had the task, or it was deleted: the trash lists deleted tasks.")
LIST_NOT_FOUND   = Kind(404, "list-not-found",         "The list does not exist",                   "Check the id. This user never had the list, or it was deleted.")
CALENDAR_GONE    = Kind(404, "calendar-not-found",     "The calendar does not exist",               "The secret path was never made, or it was revoked. The user of the calendar can make a new one.")
METHOD           = Kind(405, "method-not-allowed",     "The path does not support this method",     "The `Allow` header lists the methods that it supports.")
NOT_ACCEPTABLE   = Kind(406, "not-acceptable",         "No accepted media type is available",       "Send an `Accept` header with a media type that the contract lists for this operation, or leave it out.")
TIMED_OUT        = Kind(408, "request-timeout",        "The request took too long to arrive",       "Send the whole request again.")
ID_TAKEN         = Kind(409, "id-taken",               "The id is already used",                    "`current` shows the task that has this id; or `deleted_task`, if it is in the trash: it can be restored. Of a list they are `current_list` and `deleted_list`. `Location` is its path. Choose another id, or send none.")
KEY_IN_USE       = Kind(409, "idempotency-key-in-use", "A request with this key is in progress",    "Wait for the seconds in `Retry-After`. Then send the same request with the same `Idempotency-Key` again.")
TOO_MANY_REPLAYS = Kind(409, "too-many-replays",       "Too many responses are stored",             "Nothing was changed. Wait for the seconds in `Retry-After`, or send the request without `Idempotency-Key`. The operator of the server can allow more with `ERRAND_MAX_REPLAY_BYTES`.")
FORGOTTEN        = Kind(410, "changes-forgotten",      "These changes are no longer stored",        "Drop the copy of this user's tasks. Start again without `since`.")
TASK_CHANGED     = Kind(412, "task-changed",           "The task has changed",                      "`current` is the task as it is now; or `deleted_task`, if it is in the trash. Decide again, and send its `revision` in double quotes as `If-Match`.")
TASK_EXISTS      = Kind(412, "task-exists",            "The task already exists",                   "The request says `If-None-Match: *`, but its id is already used. `current` shows the task; or `deleted_task`, if it is in the trash: it can be restored. `Location` is its path.")
LIST_CHANGED     = Kind(412, "list-changed",           "The list has changed",                      "`current_list` is the list as it is now; or `deleted_list`, if it is in the trash. Decide again, and send its `revision` in double quotes as `If-Match`.")
LIST_EXISTS      = Kind(412, "list-exists",            "The list already exists",                   "The request says `If-None-Match: *`, but its id is already used. `current_list` shows the list; or `deleted_list`, if it is in the trash: it can be restored. `Location` is its path.")
TOO_LARGE        = Kind(413, "body-too-large",         "The body is too large",                     "Send a smaller body. `detail` names the limit.")
MEDIA_TYPE       = Kind(415, "unsupported-media-type", "The type of the body is not supported",     "Send a `Content-Type` that the contract lists for this operation, in UTF-8, not compressed.")
INVALID          = Kind(422, "invalid-request",        "The request does not match the contract",   "`errors` lists every fault, with the field or the parameter.")
KEY_REUSED       = Kind(422, "idempotency-key-reused", "Another request has used this key",         "Use a new `Idempotency-Key` for each new request. Repeat a key only to send the same request again.")
NO_VERSION       = Kind(428, "if-match-required",      "A change must name a version",              "Get the task, and send its `ETag` as `If-Match`.")
TOO_MANY         = Kind(429, "too-many-requests",      "There are too many requests",               "Wait for the seconds in `Retry-After`. The `RateLimit` header shows how many requests are left.")
INTERNAL         = Kind(500, "internal-error",         "The server has failed",                     "The fault is in the server. Its log has the cause under the `request_id` of this response.")
DATABASE_AWAY    = Kind(503, "database-away",          "The database is not available",             "Nothing was changed. Send the request again after the seconds in `Retry-After`.")
DATABASE_FAILING = Kind(503, "database-failing",       "The database cannot do its work",           "Nothing was changed. Send the request again after the seconds in `Retry-After`. If the problem stays, tell the operator of the server.")
TOO_SLOW         = Kind(503, "database-too-slow",      "The database took too long",                "Wait for the seconds in `Retry-After`. If the request was a write, check whether it was done before you send it again.")
OUTCOME_UNSURE   = Kind(503, "outcome-unknown",        "It is unknown whether the change was made", "Send the request again with the same `Idempotency-Key`. If it had no key, check first whether the change was made.")
KEYS_AWAY        = Kind(503, "keys-away",              "Tokens cannot be checked now",              "The keys of the issuer are not available. Send the request again after the seconds in `Retry-After`.")
OVERLOADED       = Kind(503, "overloaded",             "The server has too much to do",             "Nothing was changed. Send the request again after the seconds in `Retry-After`.")
TOO_LATE         = Kind(503, "answer-too-late",        "The response took too long",                "Wait for the seconds in `Retry-After`. If the request was a write, check whether it was done before you send it again.")
CROWDED          = Kind(503, "too-many-connections",   "The server has too many connections",       "Nothing was done. Send the request again after the seconds in `Retry-After`, over fewer connections.")
# fmt: on

KINDS = [each for each in list(globals().values()) if isinstance(each, Kind)]

OF_DOMAIN_ERRORS: dict[type[errors.DomainError], Kind] = {
    errors.TaskNotFound: TASK_NOT_FOUND,
    errors.ListNotFound: LIST_NOT_FOUND,
    errors.CalendarNotFound: CALENDAR_GONE,
    errors.VersionRequired: NO_VERSION,
    errors.TooManyTasks: TOO_MANY_TASKS,
    errors.TooManyLists: TOO_MANY_LISTS,
    errors.KeyInUse: KEY_IN_USE,
    errors.KeyReused: KEY_REUSED,
    errors.TooManyReplays: TOO_MANY_REPLAYS,
    errors.CursorRefused: INVALID,
    errors.OrderRefused: INVALID,
    errors.SinceRefused: INVALID,
    errors.LastEventIdRefused: INVALID,
    errors.FieldRefused: INVALID,
    errors.ChangesForgotten: FORGOTTEN,
    errors.IdTaken: ID_TAKEN,
    errors.TaskChanged: TASK_CHANGED,
    errors.TaskExists: TASK_EXISTS,
    errors.ListIdTaken: ID_TAKEN,
    errors.ListChanged: LIST_CHANGED,
    errors.ListExists: LIST_EXISTS,
    errors.DatabaseAway: DATABASE_AWAY,
    errors.ShardMoved: DATABASE_AWAY,
    errors.DatabaseFailing: DATABASE_FAILING,
    errors.Overloaded: OVERLOADED,
    errors.ConnectionLost: OUTCOME_UNSURE,
    errors.StatementTimedOut: TOO_SLOW,
}

NAMING_A_RESOURCE = (ID_TAKEN, TASK_EXISTS, LIST_EXISTS)
"""The kinds that say in Location which task or list has the id."""
PATHS = {"task": path_of_task, "list": path_of_list}
MEMBERS = {"task": ("current", "deleted_task"), "list": ("current_list", "deleted_list")}
"""The members that show a task or list, and one in the trash."""


class Fault(NamedTuple):
    """One thing that is wrong with a request: in the body, or in a parameter."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None
    line: int | None = None

    def document(self) -> dict[str, str | int]:
        """The fault as an item of `errors`."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Problem(Exception):
    """Ends a request with a problem document; every stage may raise it."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Sequence[Header] = (),
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.faults = faults
        self.headers = headers
        self.members = members or {}

    def with_headers(self, headers: Sequence[Header]) -> "Problem":
        """The same problem with these additional headers."""
        headers = [*self.headers, *headers]
        return Problem(
            self.kind, str(self), faults=self.faults, headers=headers, members=self.members
        )


class ResponseBreaksContract(Exception):
    """A handler returned what the contract does not promise."""


def invalid(faults: Sequence[Fault]) -> Problem:
    """The request breaks the contract in these ways."""
    if len(faults) == 1:
        detail = "The request has 1 fault. `errors` shows it."
    elif len(faults) <= MOST_FAULTS:
        detail = f"The request has {len(faults)} faults. `errors` lists all of them."
    else:
        detail = f"The request has many faults. `errors` lists the first {MOST_FAULTS}."
    return Problem(INVALID, detail, faults=faults)


def problem_response(error: BaseException, failed: str, request_id: str) -> Response:
    """The problem document of an error. An unforeseen one is logged: `failed` says what failed."""
    if isinstance(error, Problem):
        return _document(error, request_id)
    if isinstance(error, errors.DomainError):
        return _document(_of_domain_error(error), request_id)
    log.error("%s failed: request_id=%s", failed, request_id, exc_info=error)
    return _document(Problem(INTERNAL, UNEXPECTED), request_id)


def kind_of(error: BaseException) -> Kind:
    """The kind of problem that an error is."""
    if isinstance(error, Problem):
        return error.kind
    kind = error.refused.kind if isinstance(error, errors.BatchRefused) else type(error)
    return OF_DOMAIN_ERRORS.get(kind, INTERNAL)  # type: ignore[arg-type]


def log_broken_stream(error: BaseException, failed: str, request_id: str) -> None:
    """Log why a response broke off: after its begin no problem document can be sent."""
    if isinstance(error, (Problem, errors.DomainError)):
        log.warning("%s stopped during its response: request_id=%s: %s", failed, request_id, error)
    else:
        log.error(
            "%s failed during its response: request_id=%s", failed, request_id, exc_info=error
        )


def _of_domain_error(error: errors.DomainError) -> Problem:
    if isinstance(error, errors.BatchRefused):
        return _of_refused(error.refused)
    if isinstance(error, errors.ArgumentRefused):
        return invalid([Fault(str(error), parameter=error.argument)])
    if isinstance(error, errors.LinesRefused):
        return invalid([Fault(each.detail, each.pointer, line=each.line) for each in error.faults])
    if isinstance(error, errors.FieldRefused):
        return invalid([Fault(str(error), pointer=error.field and f"/{error.field}")])
    kind = OF_DOMAIN_ERRORS[type(error)]
    if isinstance(error, errors.Contradiction):
        return _contradiction(kind, str(error), error.current, error.about)
    return Problem(kind, str(error), headers=_retry_after(error))


def _retry_after(error: errors.DomainError) -> list[Header]:
    """When to try again; it is random, so that clients do not all return at the same time."""
    if isinstance(error, errors.Unavailable):
        return [(b"retry-after", b"%d" % randint(1, LATEST_RETRY))]  # noqa: S311
    if isinstance(error, errors.TooManyReplays):
        seconds = min(max(math.ceil(error.wait.total_seconds()), 1), LONGEST_RETRY)
        return [(b"retry-after", b"%d" % seconds)]
    return [RETRY_AFTER] if isinstance(error, errors.KeyInUse) else []


def _of_refused(refused: errors.Refused) -> Problem:
    kind = OF_DOMAIN_ERRORS[refused.kind]
    place = f"/operations/{refused.operation}"
    if refused.field is not None:
        place = f"{place}/{refused.field}" if refused.field else place
        return invalid([Fault(refused.detail, pointer=place)])
    fault = Fault(refused.detail, pointer=place)
    return _contradiction(kind, refused.detail, refused.current, faults=[fault])


def _contradiction(
    kind: Kind,
    detail: str,
    current: dict[str, Any] | None,
    about: str = "task",
    *,
    faults: Sequence[Fault] = (),
) -> Problem:
    """A problem that shows the task or list which the request contradicts, and where it is.

    One in the trash has a member name of its own: no client mistakes it for an active one.
    """
    if current is None:
        return Problem(kind, detail, faults=faults)
    path = PATHS[about](current["user_id"], current["id"])
    headers = [(b"location", path.encode())] if kind in NAMING_A_RESOURCE else []
    active, deleted = MEMBERS[about]
    member = deleted if "deleted_at" in current else active
    return Problem(kind, detail, faults=faults, headers=headers, members={member: current})


def document_of(refused: errors.Refused, request_id: str) -> dict[str, Any]:
    """The problem document of one operation of a batch."""
    return _members(_of_refused(refused), request_id)


def _members(problem: Problem, request_id: str) -> dict[str, Any]:
    kind = problem.kind
    document: dict[str, Any] = {
        "type": f"/problems#{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": str(problem),
        "request_id": request_id,
        **problem.members,
    }
    if problem.faults:
        document["errors"] = [fault.document() for fault in problem.faults[:MOST_FAULTS]]
    return document


def _document(problem: Problem, request_id: str) -> Response:
    kind = problem.kind
    body = orjson.dumps(_members(problem, request_id))
    headers = [(b"content-type", PROBLEM_JSON), (b"content-length", b"%d" % len(body))]
    return Response(kind.status, [*WITH_ERRORS, *headers, *problem.headers], body)
