"""Every error has a problem type: in the table, in the contract, and on the page of problems."""

from collections.abc import Iterator
from typing import Any

from db import errors
from openapi.http import problems
from tests.support import http
from tests.support.cases import for_each
from tests.support.operations import SPECIFICATION

Media = dict[str, Any]

# No operation has these: none is at an unknown path, for another method, or for half a request.
WITHOUT_OPERATION = {problems.UNKNOWN_PATH, problems.METHOD, problems.TIMED_OUT}


def subclasses(base: type[errors.DomainError]) -> Iterator[type[errors.DomainError]]:
    for each in base.__subclasses__():
        yield from subclasses(each) if each.__subclasses__() else [each]


# The kind of a refused batch is that of the operation that was refused; the faults of a file are no
# text (tests/api/test_import.py).
@for_each(
    "error",
    [*{*subclasses(errors.DomainError)} - {errors.BatchRefused, errors.LinesRefused}],
)
def test_every_domain_error_has_a_problem_type(error: type[errors.DomainError]) -> None:
    response = problems.problem_response(error("because"), "a test", "an id")

    assert response.status == problems.OF_DOMAIN_ERRORS[error].status


def error_responses() -> Iterator[tuple[str, int, Media]]:
    """Every response of the contract that is a problem: its operation, status and content."""
    for item in SPECIFICATION["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    content = response["content"]["application/problem+json"]
                    yield operation["operationId"], int(status), content


@for_each(
    ("status", "content"),
    [(status, content) for _, status, content in error_responses()],
    ids=[f"{name}-{status}" for name, status, _ in error_responses()],
)
def test_problem_examples_have_the_status_of_their_error(status: int, content: Media) -> None:
    titles = {kind.name: kind.title for kind in problems.KINDS if kind.status == status}

    assert content["examples"]
    for name, example in content["examples"].items():
        assert example["summary"] == titles[name]
        problem = example["value"]
        assert problem["type"] == f"/problems#{name}"
        assert (problem["title"], problem["status"]) == (titles[name], status)


def test_every_problem_type_has_an_example_in_the_contract() -> None:
    exemplified = {name for _, _, content in error_responses() for name in content["examples"]}

    assert exemplified == {kind.name for kind in problems.KINDS if kind not in WITHOUT_OPERATION}


def test_names_of_problem_types_are_unique() -> None:
    assert len({kind.name for kind in problems.KINDS}) == len(problems.KINDS)


@for_each("kind", problems.KINDS, ids=lambda kind: kind.name)
def test_type_of_a_problem_is_the_url_of_its_explanation(server: str, kind: problems.Kind) -> None:
    page = http.get(f"{server}/problems").text

    assert f'id="{kind.name}"' in page
    assert kind.title in page


def test_unforeseen_error_reveals_nothing_to_the_client() -> None:
    error = RuntimeError("SELECT secret FROM /etc/passwd")

    response = problems.problem_response(error, "a test", "an id")

    assert response.status == 500
    assert b"secret" not in response.body
