"""Contracts that stop the start: the server would not enforce them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import jsonschema_rs
import pytest
from connexion.spec import OpenAPISpecification

from handlers import users
from openapi.contract.document import CONTRACT
from openapi.contract.faults import UnusableContract
from openapi.server.app import App
from openapi.settings import load_settings

USER_ID = "        - $ref: '#/components/parameters/UserId'\n"
LIMIT = "            default: 50\n"
TITLE = "      minLength: 1\n      maxLength: 255\n"
OPERATION = "      operationId: list_tasks\n"

IN_USE = "        '409':\n          $ref: '#/components/responses/Conflict'\n"
REPLAYED = (
    "        Idempotency-Replayed:\n          $ref: '#/components/headers/IdempotencyReplayed'\n"
)

BATCH_RESULTS = (
    "            application/json:\n              schema:\n"
    "                $ref: '#/components/schemas/BatchResults'\n"
)

REFUSED = {
    "a key of requests in the query": (
        "      name: Idempotency-Key\n      in: header\n",
        "      name: Idempotency-Key\n      in: query\n",
        "Idempotency-Key would be taken for the header",
    ),
    "an idempotency key without an owner": (
        "  /health/live:\n    get:\n",
        "  /health/live:\n"
        "    parameters: [{$ref: '#/components/parameters/IdempotencyKey'}]\n    get:\n",
        "Idempotency-Key needs a user_id in the path",
    ),
    "a key of requests that cannot be in use": (IN_USE, "", "and a response 409"),
    "answers that do not say that they are replays": (
        REPLAYED,
        "",
        "with Idempotency-Key, 200 needs Idempotency-Replayed",
    ),
    "an operation for a method that every path supports": (
        "  /health/live:\n    get:\n",
        "  /health/live:\n    options:\n",
        "OPTIONS needs no operation",
    ),
    "a stream that would be stored for a key of requests": (
        BATCH_RESULTS,
        BATCH_RESULTS.replace("json", "jsonl").replace("schema:", "x-itemSchema:"),
        "only responses in JSON are stored for an Idempotency-Key",
    ),
    "a cookie parameter": (
        USER_ID,
        USER_ID + "        - {name: session, in: cookie, schema: {type: string}}\n",
        "parameters in the cookie are not supported",
    ),
    "a parameter without a type": (
        "            type: boolean\n",
        "            enum: [a]\n",
        "a parameter needs a plain type",
    ),
    "another style": (
        "          in: query\n          description: The most tasks to return",
        "          in: query\n          style: pipeDelimited\n          description: The most",
        "the style 'pipeDelimited' is not supported",
    ),
    "a schema keyword": (
        TITLE,
        TITLE + "      xml: {name: title}\n",
        "the schema keyword 'xml' is not supported",
    ),
    "nullable beside allOf": (
        "    Completed:\n      type: boolean\n",
        "    Completed:\n      allOf: [{type: boolean}]\n      nullable: true\n",
        "nullable needs a type beside it",
    ),
    "an unknown format": (TITLE, TITLE + "      format: colour\n", "colour"),
    "an open object": (
        "    TaskCreate:\n      type: object\n      additionalProperties: false\n",
        "    TaskCreate:\n      type: object\n",
        "an object must say which fields it has",
    ),
    "a default response": ("        '503':\n", "        default:\n", "'default' is not supported"),
    "a body that is not JSON": (
        "          application/json:\n            schema:\n"
        "              $ref: '#/components/schemas/TaskCreate'\n",
        "          text/plain:\n            schema:\n"
        "              $ref: '#/components/schemas/TaskCreate'\n",
        "bodies of text/plain are not supported",
    ),
    "security that no server here can enforce": (
        "      scheme: bearer\n      bearerFormat: JWT\n",
        "      scheme: basic\n",
        "no security but bearer tokens, without scopes, is supported",
    ),
    "a choice of security": (
        "security:\n  - bearerAuth: []\n",
        "security:\n  - bearerAuth: []\n  - {}\n",
        "alternatives or combinations of security are not supported",
    ),
    "an operation that nothing implements": (
        "operationId: get_readiness",
        "operationId: get_unreadiness",
        "nothing implements the operation",
    ),
    "an operation without an id": (OPERATION, "", "an operation needs an operationId"),
    "the same operationId twice": (
        "operationId: get_readiness",
        "operationId: get_liveness",
        "the operationId 'get_liveness' is used twice",
    ),
    "a parameter that the handler does not take": (
        "        - name: offset\n",
        "        - name: skip\n",
        " takes (user_id, offset, limit, zone, sort, cursor, if_none_match, ",
    ),
    "a filter by what no task has": (
        "        - name: completed\n",
        "        - name: colour\n",
        "but the contract gives (colour, completed_since,",
    ),
    "a parameter in the path that the path does not name": (
        "  /api/{user_id}/tasks/{task_id}/complete:\n",
        "  /api/{user_id}/tasks/complete:\n",
        "the path names (user_id), but its parameters are (task_id, user_id)",
    ),
    "the same name twice in a path": (
        "  /api/{user_id}/tasks/{task_id}/complete:\n",
        "  /api/{user_id}/tasks/{task_id}/complete/{task_id}:\n",
        "the path names (task_id, task_id, user_id)",
    ),
    "a field that is required of an object without it": (
        "      required: [title]\n",
        "      required: [title, colour]\n",
        "no object can have the required {'colour'}",
    ),
    "a value that may be missing where the handler needs it": (
        LIMIT,
        "",
        " takes (user_id, offset, limit, zone, sort, cursor, if_none_match, ",
    ),
    "a recursive schema": (
        "    Title:\n",
        "    Title:\n      not: {$ref: '#/components/schemas/Title'}\n",
        "recursive schemas are not supported",
    ),
    "another version of OpenAPI": ("openapi: 3.0.3", "openapi: 3.1.0", "3.1.0"),
    "broken YAML": ("openapi: 3.0.3", "openapi: [3.0.3", "openapi.yaml"),
}


@pytest.fixture(scope="module", autouse=True)
def quick_check() -> Iterator[None]:
    """A quick validator looks for faults by OpenAPI's own schema; if there are, Connexion's does.

    That takes longer than the rest of a start, and most faults here are others.
    """
    validator = jsonschema_rs.validator_for(OpenAPISpecification.openapi_schema)
    check = OpenAPISpecification._validate_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            OpenAPISpecification,
            "_validate_spec",
            staticmethod(lambda document: validator.is_valid(document) or check(document)),
        )
        yield


@pytest.fixture
def contract_with(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write the contract with one change."""

    def write(old: str, new: str) -> Path:
        text = CONTRACT.read_text()
        assert old in text
        path = tmp_path / "openapi.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return write


@pytest.mark.parametrize("case", REFUSED)
def test_contract_is_refused_that_has(case: str, contract_with: Callable[[str, str], Path]) -> None:
    old, new, reason = REFUSED[case]

    complaint = complaint_about(contract_with(old, new))

    assert reason in complaint
    assert "openapi.yaml" in complaint


def test_refusal_names_the_line(contract_with: Callable[[str, str], Path]) -> None:
    path = contract_with(TITLE, TITLE + "      xml: {name: title}\n")
    line = 1 + path.read_text().splitlines().index("      xml: {name: title}")

    assert f"openapi.yaml:{line}: " in complaint_about(path)


def test_refusal_names_the_line_of_what_is_merged(
    contract_with: Callable[[str, str], Path],
) -> None:
    field = "          completed:\n            $ref: '#/components/schemas/Completed'\n"
    path = contract_with(field, "          completed: {type: boolean, xml: {name: a}}\n")
    line = 1 + path.read_text().splitlines().index(
        "          completed: {type: boolean, xml: {name: a}}"
    )

    assert f"openapi.yaml:{line}: " in complaint_about(path)


def test_a_handler_that_takes_no_context_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def without_context(user_id: UUID) -> None: ...

    monkeypatch.setattr(users, "erase_user", without_context)

    assert "erase_user does not take `context` first" in complaint_about(CONTRACT)


def complaint_about(path: Path) -> str:
    """The message of a server that does not start with this contract."""
    settings = load_settings(
        database_url="postgresql:///nowhere", local_tokens=True, data_dir=path.parent
    )
    with pytest.raises(UnusableContract) as refused:
        App(settings, path)
    return str(refused.value)
