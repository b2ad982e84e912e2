"""From a path to its operations, by the shape of the path."""

from bisect import insort
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import NamedTuple

from openapi.contract.document import Unsupported
from openapi.operations.operation import Operation
from openapi.operations.parameters import decoded

Places = tuple[bool, ...]


@dataclass
class Route:
    """One path of the contract, with its operations by method."""

    names: list[str]
    operations: dict[str, Operation] = field(default_factory=dict)
    allow: bytes = b""

    def add(self, method: str, operation: Operation) -> None:
        """Serve a method. HEAD comes with GET, and OPTIONS with every path."""
        self.operations[method] = operation
        if method == "GET":
            self.operations["HEAD"] = operation
        self.allow = ", ".join(sorted({*self.operations, "OPTIONS"})).encode()

    @property
    def accept_patch(self) -> bytes:
        """The media types of patches, if there is an operation for them (RFC 5789, 3.1)."""
        patch = self.operations.get("PATCH")
        return patch.accept_patch if patch else b""


class Match(NamedTuple):
    """A path's route, and the texts of its parameters."""

    route: Route
    values: dict[str, str]


class Shape:
    """The paths that have their literal segments in the same places."""

    def __init__(self, is_variable: Places) -> None:
        self.is_variable = is_variable
        self._is_literal = [not each for each in is_variable]
        self._routes: dict[tuple[str, ...], Route] = {}

    def route(self, segments: list[str], names: list[str]) -> Route:
        """The route of a path; it is made if there is none yet."""
        return self._routes.setdefault(tuple(compress(segments, self._is_literal)), Route(names))

    def match(self, segments: list[str]) -> Match | None:
        """The route of these literal segments, if none of the others is empty."""
        route = self._routes.get(tuple(compress(segments, self._is_literal)))
        if route is None:
            return None
        texts = list(compress(segments, self.is_variable))
        return Match(route, dict(zip(route.names, texts, strict=True))) if all(texts) else None


class Router:
    """All paths of the contract, by the number of their segments."""

    def __init__(self) -> None:
        self._shapes: dict[int, list[Shape]] = {}

    def add(self, path: str, method: str, operation: Operation) -> None:
        """Serve a method of a path."""
        segments = path.split("/")[1:]
        is_variable = tuple(map(_is_variable, segments))
        if any("{" in each for each in segments if not _is_variable(each)):
            raise Unsupported("a parameter must fill its segment of the path", operation.where)
        names = [each[1:-1] for each in compress(segments, is_variable)]
        route = self._shape(is_variable).route(segments, names)
        if route.names != names:
            raise Unsupported(
                "the same path has parameters of other names elsewhere", operation.where
            )
        route.add(method, operation)

    def _shape(self, is_variable: Places) -> Shape:
        """The shape with variables in these places; shapes with early literals come first."""
        shapes = self._shapes.setdefault(len(is_variable), [])
        for shape in shapes:
            if shape.is_variable == is_variable:
                return shape
        shape = Shape(is_variable)
        insort(shapes, shape, key=attrgetter("is_variable"))
        return shape

    def match(self, path: bytes) -> Match | None:
        """The route of the path, and its parameters; each segment is decoded by itself."""
        if b"%" in path:
            segments = [decoded(segment) for segment in path.split(b"/")[1:]]
        else:
            segments = decoded(path).split("/")[1:]
        for shape in self._shapes.get(len(segments), ()):
            if found := shape.match(segments):
                return found
        return None


def _is_variable(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")
