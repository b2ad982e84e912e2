"""Finds the route of a path: one regular expression for all paths with as many segments."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from openapi.contract.faults import Unsupported
from openapi.operations.endpoint import Endpoint
from openapi.operations.parameters import decoded

# Possessive (`++`): a path of another route is not tried again with shorter segments.
VARIABLE = "([^/]++)"

Match = tuple["Route", dict[str, str]]
"""A path's route, and the texts of its parameters."""


@dataclass
class Route:
    """One path of the contract, with its operations by method."""

    names: list[str]
    operations: dict[str, Endpoint] = field(default_factory=dict)
    allow: bytes = b""

    def add(self, method: str, operation: Endpoint) -> None:
        """Add a method. GET also serves HEAD, and every path serves OPTIONS."""
        self.operations[method] = operation
        if method == "GET":
            self.operations["HEAD"] = operation
        self.allow = ", ".join(sorted({*self.operations, "OPTIONS"})).encode()

    @property
    def accept_patch(self) -> bytes:
        """The media types of patches, if there is an operation for them (RFC 5789, 3.1)."""
        patch = self.operations.get("PATCH")
        return patch.accept_patch if patch else b""


class Paths:
    """The paths with the same number of segments."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str | None, ...], Route] = {}
        """By the literal segments; None stands for a variable."""
        self._expression = re.compile("")
        self._by_group: dict[int, tuple[Route, slice]] = {}
        """By the number of the empty group behind each path: the route, and its variables."""

    def route(self, segments: list[str], names: list[str]) -> Route:
        """The route of a path; created if there is none yet."""
        literals = tuple(None if _is_variable(each) else each for each in segments)
        route = self._routes.get(literals)
        if route is None:
            route = self._routes[literals] = Route(names)
            self._compile()
        return route

    def match(self, path: str) -> Match | None:
        """The route of a path whose variables are not empty; literal segments are preferred."""
        found = self._expression.fullmatch(path)
        if found is None or found.lastindex is None:
            return None
        route, variables = self._by_group[found.lastindex]
        return route, dict(zip(route.names, found.groups()[variables], strict=True))

    def _compile(self) -> None:
        ordered = sorted(self._routes, key=lambda path: [each is None for each in path])
        alternatives = []
        self._by_group = {}
        group = 0
        for path in ordered:
            route = self._routes[path]
            segments = [VARIABLE if each is None else re.escape(_escaped(each)) for each in path]
            alternatives.append("".join(f"/{each}" for each in segments) + "()")
            variables = slice(group, group + len(route.names))
            group = variables.stop + 1
            self._by_group[group] = route, variables
        self._expression = re.compile("|".join(alternatives))


class Router:
    """All paths of the contract, by the number of their segments."""

    def __init__(self) -> None:
        self.operations: list[Endpoint] = []
        self._paths: dict[int, Paths] = defaultdict(Paths)

    def add(self, path: str, method: str, operation: Endpoint) -> None:
        """Add a method of a path."""
        segments = path.split("/")[1:]
        if any("{" in each for each in segments if not _is_variable(each)):
            raise Unsupported("a parameter must be a whole segment of the path", operation.where)
        names = [each[1:-1] for each in segments if _is_variable(each)]
        route = self._paths[len(segments)].route(segments, names)
        if route.names != names:
            raise Unsupported(
                "the same path has parameters of other names elsewhere", operation.where
            )
        route.add(method, operation)
        self.operations.append(operation)

    def match(self, path: bytes) -> Match | None:
        """The route of the path, and its parameters; each segment is decoded by itself."""
        paths = self._paths.get(path.count(b"/"))
        if paths is None:
            decoded(path)  # raises if that is impossible; of many segments each would cost
            return None
        return _match_decoded(paths, path) if b"%" in path else paths.match(decoded(path))


def _match_decoded(paths: Paths, path: bytes) -> Match | None:
    """The same, of a path with percent-encoded characters: a slash may be one of them."""
    found = paths.match("/".join(_escaped(decoded(segment)) for segment in path.split(b"/")))
    if found is None:
        return None
    route, values = found
    return route, {name: _unescaped(value) for name, value in values.items()}


def _is_variable(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


def _escaped(segment: str) -> str:
    """A segment without a slash in it."""
    return segment.replace("%", "%25").replace("/", "%2F")


def _unescaped(segment: str) -> str:
    return segment.replace("%2F", "/").replace("%25", "%")
