"""Compiles the contract to a router of operations, before requests are served."""

from connexion.exceptions import ResolverError
from connexion.resolver import Resolver

from openapi.contract.document import Contract
from openapi.contract.faults import Parts, Unsupported
from openapi.operations.deprecation import deprecation_headers
from openapi.operations.file_operation import FileOperation
from openapi.operations.operation import FILE, Operation
from openapi.operations.routing import Router
from openapi.operations.spooled_operation import SPOOLED, SpooledOperation
from openapi.settings import Settings

# Every GET also serves HEAD; every path serves OPTIONS and CORS preflights.
WITHOUT_OPERATION = {"head", "options"}


KINDS: dict[str, type[Operation]] = {SPOOLED: SpooledOperation, FILE: FileOperation}


def compile_contract(contract: Contract, settings: Settings) -> Router:
    """The router of all operations; raises everything in the contract that is not supported."""
    try:
        return _compiled(contract, settings)
    except Unsupported as error:
        raise contract.refuse(error) from None


def _compiled(contract: Contract, settings: Settings) -> Router:
    router, resolver = Router(), Resolver()
    ids: set[str] = set()
    parts = Parts()
    for path, method, _ in contract.operations():
        with parts:
            operation = _operation(contract, path, method, resolver, settings)
            if operation.id in ids:
                detail = f"the operationId {operation.id!r} is used twice"
                raise Unsupported(detail, operation.where)
            ids.add(operation.id)
            router.add(contract.specification.base_path + path, method.upper(), operation)
    parts.check()
    return router


def _operation(
    contract: Contract, path: str, method: str, resolver: Resolver, settings: Settings
) -> Operation:
    specification = contract.specification
    where = ("paths", path, method)
    if method in WITHOUT_OPERATION:
        raise Unsupported(f"{method.upper()} needs no operation: it is served without one", where)
    definition = specification.get_operation(path, method)
    if "operationId" not in definition:
        raise Unsupported("an operation needs an operationId", where)
    try:
        described = specification.operation_cls.from_spec(
            specification, path=path, method=method, resolver=resolver
        )
    except ResolverError as error:
        name = definition["operationId"].rpartition(".")[2]
        advice = f"`errand stubs {name}` prints a handler for it"
        detail = f"nothing implements the operation: {error}; {advice}"
        raise Unsupported(detail, where) from error
    notices = deprecation_headers(definition, where, contract.changed_at)
    kind = next((kind for name, kind in KINDS.items() if definition.get(name)), Operation)
    return kind(described, definition, where, settings, notices)
