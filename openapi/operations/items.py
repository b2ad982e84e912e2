"""Values of handlers, and items of their generators: checked, and as plain JSON."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
from pydantic import BaseModel

from handlers.context import RefusedOperation
from openapi.contract.faults import Unsupported, Where
from openapi.http.problems import ResponseBreaksContract, document_of
from openapi.operations.schemas import Schema

ITEM_SCHEMA = "x-itemSchema"  # itemSchema in OpenAPI 3.2


def checked(value: Any, schema: Schema, name: str) -> Any:
    """The value, if it matches its schema; models and enums as plain JSON."""
    try:
        if schema.accepts(value):
            return value
    except ValueError:
        pass
    plain = orjson.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z))
    if not schema.accepts(plain):
        faults = [tuple(fault.document().values()) for fault in schema.faults(plain)]
        raise ResponseBreaksContract(f"{name}: {faults}")
    return plain


def generator(items: Any, name: str) -> AsyncGenerator[Any, None]:
    """The items, if they are an asynchronous generator: others could not be closed."""
    if not isinstance(items, AsyncGenerator):
        kind = type(items).__name__
        raise ResponseBreaksContract(f"{name}: not from an asynchronous generator, but a {kind}")
    return items


def item_schema(media: Mapping[str, Any], where: Where) -> Schema:
    """The schema of each item of a stream."""
    if "schema" in media:
        raise Unsupported(f"the items of a stream have {ITEM_SCHEMA}", (*where, "schema"))
    if ITEM_SCHEMA not in media:
        raise Unsupported(f"a stream needs {ITEM_SCHEMA}: what each item is", where)
    return Schema(media[ITEM_SCHEMA], "response", (*where, ITEM_SCHEMA))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, RefusedOperation):
        problem = document_of(value.refused, value.request_id)
        return {"status": problem["status"], "problem": problem}
    raise TypeError(f"{type(value).__name__} is not JSON")
