"""Faults of a document by OpenAPI's own schema, each with its place."""

from collections.abc import Iterator
from typing import Any

from connexion.spec import OpenAPISpecification, create_spec_validator

from openapi.contract.faults import Unsupported

LONGEST_MESSAGE = 300
IS_NO_REFERENCE = "'$ref' is a required property"


def invalid_parts(document: dict[str, Any]) -> Iterator[Unsupported]:
    """Each part that OpenAPI's schema does not allow."""
    validator = create_spec_validator(document)(OpenAPISpecification.openapi_schema)
    for error in validator.iter_errors(document):
        reason = _reason(error)
        where = tuple(map(str, reason.absolute_path))
        yield Unsupported(f"this is not OpenAPI: {_short(reason.message)}", where)


def _reason(error: Any) -> Any:
    """The deepest error: of several alternatives it is in the one that the author meant."""
    while error.context:
        likely = [each for each in error.context if each.message != IS_NO_REFERENCE]
        error = max(likely or error.context, key=lambda each: len(each.absolute_path))
    return error


def _short(message: str) -> str:
    """The message; it may cite a part of the document, of any length."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]} … {message[-half:]}"
