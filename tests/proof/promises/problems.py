"""Promises about what is refused: limits, and problem documents (RFC 9457)."""

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import httpx

from tests.proof.promises.scene import USED_UP, Account, NotShown, Scene, quota_of
from tests.support.contract import DOCUMENT, methods_of, problem_validator
from tests.support.responses import assert_problem, left
from tests.support.users import Task

BIG = 2 * 1024 * 1024


class Case(NamedTuple):
    """A request, and its problem: status, type, and what in the request is at fault."""

    status: int
    kind: str
    method: str
    path: str
    options: dict[str, Any] = {}  # noqa: RUF012
    places: frozenset[str] = frozenset()


def every_refusal_is_a_problem_document(scene: Scene) -> str:
    """With the status, type, title and detail of its cause, and a pointer to each fault."""
    user = scene.user
    cases = _cases(user, user.creates("Refused"))
    for case in cases:
        response = user.request(case.method, case.path, **case.options)
        described = f"{case.method} {case.path[-40:]} {case.options}"[:200]
        _is_problem(response, case, described)
    statuses = sorted({case.status for case in cases})
    return f"{len(cases)} refusals, with {', '.join(map(str, statuses))}"


def _is_problem(response: httpx.Response, case: Case, described: str) -> None:
    found = f"{described}: {response.status_code} {response.text[:300]}"
    assert response.status_code == case.status, found
    problem = assert_problem(response, case.status, case.kind)
    errors = [error.message for error in problem_validator().iter_errors(problem)]
    assert not errors, f"{described}: {errors}"
    places = {each.get("pointer", each.get("parameter")) for each in problem.get("errors", [])}
    assert places == case.places, f"{described}: the faults are at {places}"


def _cases(user: Account, task: Task) -> list[Case]:
    text = {"Content-Type": "application/json"}
    stale = {"If-Match": '"1"'}
    missing, tasks = f"{user.tasks}/{uuid4()}", user.tasks
    taken = {"id": task.document["id"], "title": "x"}
    return [
        Case(400, "malformed-request", "POST", tasks, {"content": b'{"title": ', "headers": text}),
        Case(400, "malformed-request", "POST", tasks, {"content": b'"\xff"', "headers": text}),
        Case(404, "unknown-path", "GET", f"/api/{user.id}/nothing"),
        *(
            Case(404, "task-not-found", method, missing, {"json": {"title": "x"}})
            for method in ("PUT", "PATCH")
        ),
        *(Case(404, "task-not-found", method, missing) for method in ("GET", "DELETE")),
        Case(404, "list-not-found", "GET", f"{user.lists}/{uuid4()}"),
        Case(405, "method-not-allowed", "PUT", tasks, {"json": {}}),
        Case(406, "not-acceptable", "GET", tasks, {"headers": {"Accept": "text/html"}}),
        Case(409, "id-taken", "POST", tasks, {"json": taken}),
        Case(412, "task-changed", "PUT", task.url, {"json": {"title": "x"}, "headers": stale}),
        Case(
            *(412, "task-exists", "POST", tasks),
            {"json": taken, "headers": {"If-None-Match": "*"}},
        ),
        Case(415, "unsupported-media-type", "POST", tasks, {"data": {"title": "x"}}),
        *_invalid(tasks),
    ]


def _invalid(tasks: str) -> list[Case]:
    long = DOCUMENT["components"]["schemas"]["Title"]["maxLength"] + 1
    bodies: list[tuple[Any, set[str]]] = [
        ({}, {"/title"}),
        ({"title": ""}, {"/title"}),
        ({"title": "x" * long}, {"/title"}),
        ({"title": None, "colour": "red"}, {"/title", "/colour"}),
        ({"title": "x", "completed": "yes"}, {"/completed"}),
        ({"title": "x", "priority": "highest"}, {"/priority"}),
        ({"title": "x", "due_on": "2026-02-30"}, {"/due_on"}),
        ({"title": "x", "tags": ["a", ""]}, {"/tags/1"}),
        ({"title": "x", "parent_id": str(uuid4())}, {"/parent_id"}),
        ([], {""}),
    ]
    queries = {"limit=0": "limit", "limit=101": "limit", "cursor=x": "cursor", "colour=x": "colour"}
    return [
        *(
            Case(422, "invalid-request", "POST", tasks, {"json": body}, frozenset(places))
            for body, places in bodies
        ),
        *(
            Case(422, "invalid-request", "GET", f"{tasks}?{query}", {}, frozenset([name]))
            for query, name in queries.items()
        ),
    ]


def every_path_refuses_the_methods_that_it_does_not_have(scene: Scene) -> str:
    """With 405, and `Allow`."""
    user, asked = scene.user, 0
    ids = {"user_id": user.id, "task_id": str(uuid4()), "list_id": str(uuid4()), "file": "x.ics"}
    for template in DOCUMENT["paths"]:
        allowed = methods_of(template)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            response = user.request(method, template.format(**ids))
            assert response.status_code == 405, f"{method} {template}: {response.text}"
            found = set(response.headers["allow"].split(", "))
            assert found == allowed, f"{template} allows {found}"
            asked += 1
    return f"{asked} methods of {len(DOCUMENT['paths'])} paths are refused with 405"


def a_large_body_is_refused(scene: Scene) -> str:
    """With 413, before it is read."""
    response = scene.user.post(scene.user.tasks, json={"title": "x" * BIG})
    if response.status_code == 422:
        raise NotShown(f"this server takes bodies of {BIG:,} bytes")
    assert_problem(response, 413, "body-too-large")
    return f"{BIG:,} bytes are refused with 413"


def each_limit_of_the_contract_is_kept(scene: Scene) -> str:
    """What is at a limit is stored exactly as it is sent; one more is refused."""
    user, schemas = scene.user, DOCUMENT["components"]["schemas"]
    texts = {name: schemas[name.capitalize()]["maxLength"] for name in ("title", "description")}
    cases: list[tuple[Callable[[int], Any], int]] = [
        (lambda size: user.post(user.tasks, json={"title": "\U0001f600" * size}), texts["title"]),
        (
            lambda size: user.post(
                user.tasks, json={"title": "x", "description": "\U0001f600" * size}
            ),
            texts["description"],
        ),
        (
            lambda size: user.post(
                user.tasks, json={"title": "x", "tags": [f"{each}" for each in range(size)]}
            ),
            schemas["Tags"]["maxItems"],
        ),
        (lambda size: user.post(f"{user.tasks}/batch", json=_nothing(size)), 100),
        (lambda size: user.get(user.tasks, params={"limit": size}), 100),
    ]
    for request, most in cases:
        assert request(most).is_success, f"{most} is refused"
        assert request(most + 1).status_code == 422, f"{most + 1} is accepted"
        stored = request(most)
        if stored.status_code == 201:
            assert user.reads(stored.headers["location"]) == stored.json()
            sent = {name: stored.json()[name] for name in ("title", "description", "tags")}
            assert most in [len(each or "") for each in sent.values()], "it was not stored whole"
    return f"{len(cases)} limits: so much is accepted, and one more is refused with 422"


def _nothing(size: int) -> dict[str, Any]:
    operations = [{"op": "toggle", "id": str(uuid4())}] * size
    return {"operations": operations, "atomic": False}


def the_quota_counts_down(scene: Scene) -> str:
    """Where a deployment has a limit of requests, its header says what is left."""
    user = scene.user
    quota = quota_of(user)
    if quota is None:
        raise NotShown("this server has no limit of requests, or a large one")
    before, waited = left(user.get(user.lists)), user.waited
    after = left(user.post(f"{user.tasks}/batch", json=_nothing(20)))
    if user.waited > waited:
        raise NotShown(USED_UP)
    assert after < before <= quota, f"of {before} requests a batch of 20 has left {after}"
    return f"of {before:,} requests a batch of 20 operations has left {after:,}"
