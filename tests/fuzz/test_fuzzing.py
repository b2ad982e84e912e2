"""Every response to random requests obeys the contract; `python -m tests.fuzz` searches longer.

The seed is new in every run and stands in the output of what fails. To have it again,
write `seed = …` at the top of schemathesis.toml.
"""

import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import hypothesis
import pytest
import schemathesis
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import Case, GenerationMode, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.stateful import APIStateMachine

from openapi.contract.document import CONTRACT
from tests.fuzz import hooks
from tests.fuzz.hooks import is_valid, remember_link
from tests.support.issuer import Issuer
from tests.support.project import ROOT
from tests.support.references import in_this_run
from tests.support.users import User

CASES = in_this_run(20)
SCENARIOS = 20
ATTEMPTS = 10
WITHOUT_END = {"stream_changes"}  # schemathesis.toml leaves it out, too


def configuration() -> SchemathesisConfig:
    """That of the command line, without its choice of operations and without its fixed cases.

    With a choice, `include` has none. The fixed cases take longer than all others:
    tests/api/test_coverage_of_keywords.py and test_requests.py have the like.
    """
    settings = tomllib.loads((ROOT / "schemathesis.toml").read_text())
    del settings["operations"]
    settings["phases"]["coverage"]["enabled"] = False
    return SchemathesisConfig.from_dict(settings)


contract = schemathesis.openapi.from_path(CONTRACT, config=configuration())
operation_ids = [
    operation["operationId"]
    for path in contract.raw_schema["paths"].values()
    for operation in path.values()
    if "operationId" in operation and operation["operationId"] not in WITHOUT_END
]


@pytest.fixture(autouse=True)
def seed() -> int:
    """The seed of this run."""
    print(f"seed = {contract.config.seed}")
    return contract.config.seed


@pytest.fixture(scope="module")
def visitor(guarded_server: str, issuer: Issuer) -> Iterator[User]:
    """The user of nearly all the cases, who has several pages of tasks and of deleted ones."""
    with User(guarded_server, issuer) as user:
        hooks.users["visitor"] = user.id
        for number in range(3):
            user.creates(str(number))
            user.delete(user.creates(str(number)).url)
        for operation, url in (("list_tasks", user.tasks), ("list_trash", user.trash)):
            first = user.get(url, params={"limit": 1})
            remember_link(operation, user.id, first.links["next"]["url"])
        yield user


def requests_of(operation_id: str) -> Callable[..., None]:
    """A test of one operation."""

    @contract.include(operation_id=operation_id).parametrize()
    @hypothesis.settings(max_examples=CASES, derandomize=False)
    def answers(case: Case[Any], guarded_server: str, visitor: User, issuer: Issuer) -> None:
        sender = visitor if operation_id != "erase_user" else User(guarded_server, issuer)
        hooks.users["sender"] = sender.id
        aim_at_a_task(case, sender)

        response = case.call_and_validate(base_url=guarded_server, headers=credentials(sender))

        assert response.status_code < 300 or not is_valid(case)

    return cast(Callable[..., None], answers)


# A function for each, not one for all: in pytest 9.2 the tests that Schemathesis makes of one
# function have one id, and of those with one id pytest-xdist runs a single one, without a word.
globals().update(
    {f"test_{each}_is_answered_as_the_contract_says": requests_of(each) for each in operation_ids}
)


@pytest.mark.long
def test_random_sequences_of_requests_obey_the_contract(
    guarded_server: str, visitor: User, seed: int
) -> None:
    failures: list[FailureGroup] = []
    with_end = contract.exclude(operation_id=[*WITHOUT_END])

    class Visit(with_end.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {"base_url": guarded_server, "headers": credentials(visitor)}

        def validate_response(self, response: Response, case: Case[Any], **options: Any) -> None:
            try:
                super().validate_response(response, case, **options)
            except FailureGroup as failure:
                failures.append(failure)
                raise

    for attempt in range(ATTEMPTS):
        # Schemathesis uses randomness of its own, which Hypothesis sometimes refuses.
        with suppress(FlakyStrategyDefinition):
            run(Visit, seed + attempt)
            return
        if failures:
            raise failures[0]
    pytest.fail("Hypothesis always gave up")


def credentials(user: User) -> dict[str, str]:
    return {"Authorization": user.headers["Authorization"]}


def run(machine: type[APIStateMachine], seed: int) -> None:
    settings = hypothesis.settings(
        machine.TestCase.settings, max_examples=SCENARIOS, derandomize=False, database=None
    )
    hypothesis.seed(seed)(machine).run(settings=settings)


def aim_at_a_task(case: Case[Any], user: User) -> None:
    """Replace valid ids by those of an existing task or list, and let the user have a calendar."""
    path = case.meta and case.meta.components.get(ParameterLocation.PATH)
    ids_are_valid = is_valid(case) or (path and path.mode is GenerationMode.POSITIVE)
    if "user_id" in case.path_parameters and ids_are_valid:
        case.path_parameters["user_id"] = user.id
    if "task_id" in case.path_parameters and ids_are_valid:
        task = user.creates().document
        case.path_parameters = {"user_id": task["user_id"], "task_id": task["id"]}
    if "list_id" in case.path_parameters and ids_are_valid:
        found = next(iter(user.get(user.lists).json()), None) or user.creates_list().document
        case.path_parameters = {"user_id": found["user_id"], "list_id": found["id"]}
    if "calendar" in case.operation.path and ids_are_valid:
        file = user.creates_calendar().rpartition("/")[2]
        case.path_parameters.update({"file": file} if "file" in case.path_parameters else {})
