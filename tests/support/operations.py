"""The operations of the contract, and requests made from their descriptions."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from openapi.contract.document import Contract
from tests.support.events import event_of
from tests.support.references import openapi_validator
from tests.support.users import User

JSON = "application/json"
SPECIFICATION = Contract.load().specification

SCHEMAS: dict[str, Any] = SPECIFICATION["components"]["schemas"]


@dataclass(frozen=True)
class Operation:
    """One operation with resolved references."""

    id: str
    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None
    responses: dict[str, Any]
    media_types: list[str]

    @property
    def success(self) -> int:
        """The status of success."""
        return int(min(self.responses))

    @property
    def required_query(self) -> str:
        """A query with the parameters that must not be missing."""
        required = [
            each for each in self.parameters if each["in"] == "query" and each.get("required")
        ]
        texts = [f"{each['name']}={json.dumps(each['schema']['enum'][0])}" for each in required]
        return f"?{'&'.join(texts)}" if texts else ""

    @property
    def reads_calendar(self) -> bool:
        """Whether it is 404 for a user without a calendar."""
        return self.id in ("get_calendar", "show_calendar")

    def takes(self, header: str) -> bool:
        """Whether a header is among its parameters."""
        return any((each["in"], each["name"]) == ("header", header) for each in self.parameters)

    def example(self) -> Any:
        """A body that the contract gives as an example, if it takes one."""
        return self.body and next(iter(self.body["examples"].values()))["value"]


def _operations() -> dict[str, Operation]:
    return {
        described["operationId"]: Operation(
            described["operationId"],
            method.upper(),
            path,
            [*item.get("parameters", []), *described.get("parameters", [])],
            described["requestBody"]["content"][JSON] if "requestBody" in described else None,
            described["responses"],
            list(described.get("requestBody", {}).get("content", {})),
        )
        for path, item in SPECIFICATION["paths"].items()
        for method, described in item.items()
        if "operationId" in described
    }


OPERATIONS = _operations()


def ask(
    user: User, operation: Operation, *, ids: dict[str, str], query: str = "", **options: Any
) -> httpx.Response:
    """Send a request of that operation, about these ids.

    If they name no list or calendar, it is about a new one.
    """
    if "{list_id}" in operation.path and "list_id" not in ids:
        ids = {**ids, "list_id": user.creates_list().document["id"]}
    if operation.reads_calendar and "file" not in ids:
        ids = {**ids, "file": user.creates_calendar().rpartition("/")[2]}
    if operation.body and not {"json", "content"} & options.keys():
        options["json"] = operation.example()
    path = operation.path.format(**ids) + (query or operation.required_query)
    return user.request(operation.method, path, **options)


FIRST_ITEMS: dict[str, Callable[[str], Any]] = {
    "text/event-stream": lambda text: event_of(text.splitlines()),
    "application/jsonl": lambda text: json.loads(text.splitlines()[0]),
}


def assert_as_described(response: httpx.Response, operation: Operation) -> None:
    """Status, headers and body are as the contract describes them, and nothing is missing."""
    described = operation.responses[str(response.status_code)]
    for name, header in described.get("headers", {}).items():
        if name not in response.headers and not header.get("required"):
            continue
        text = response.headers[name]
        value = int(text) if header["schema"]["type"] == "integer" else text
        openapi_validator(header["schema"], "response").validate(value)
    content = described.get("content")
    if content is None:
        assert response.content == b""
    else:
        media_type = response.headers["content-type"].partition(";")[0]
        media = content[media_type]
        if "schema" in media:
            body = response.json() if media_type.endswith("json") else response.text
            openapi_validator(media["schema"], "response").validate(body)
        else:
            item = FIRST_ITEMS[media_type](response.text)
            openapi_validator(media["x-itemSchema"], "response").validate(item)
