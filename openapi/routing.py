"""From a path to what serves it, in one walk."""

from dataclasses import dataclass, field

from openapi.contract import Unsupported
from openapi.operation import Operation
from openapi.parameters import decoded


@dataclass
class Route:
    """One path of the contract, with its operations by method."""

    names: list[str]
    operations: dict[str, Operation] = field(default_factory=dict)
    allow: bytes = b""

    def add(self, method: str, operation: Operation) -> None:
        """Serve a method; HEAD comes with GET, and OPTIONS with any."""
        self.operations[method] = operation
        if method == "GET":
            self.operations["HEAD"] = operation
        self.allow = ", ".join(sorted({*self.operations, "OPTIONS"})).encode()


class Node:
    """One step of a path: literal next steps, a variable one, or the end."""

    __slots__ = ("literal", "route", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, Node] = {}
        self.variable: Node | None = None
        self.route: Route | None = None


class Router:
    """All paths of the contract, as a tree of their segments."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, path: str, method: str, operation: Operation) -> None:
        """Serve a method of a path."""
        node, names = self._root, []
        for segment in path.split("/")[1:]:
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.variable = node.variable or Node()
                node = node.variable
            elif "{" in segment:
                raise Unsupported("a parameter must fill its segment of the path", operation.where)
            else:
                node = node.literal.setdefault(segment, Node())
        node.route = node.route or Route(names)
        if node.route.names != names:
            raise Unsupported(
                "the same path has parameters of other names elsewhere", operation.where
            )
        node.route.add(method, operation)

    def match(self, path: bytes) -> tuple[Route, dict[str, str]] | None:
        """What serves the path, and the texts of its parameters; each segment is decoded alone."""
        if b"%" in path:
            segments = [decoded(segment) for segment in path.split(b"/")[1:]]
        else:
            segments = decoded(path).split("/")[1:]
        texts: list[str] = []
        route = _find(self._root, segments, 0, texts)
        return None if route is None else (route, dict(zip(route.names, texts, strict=True)))


def _find(node: Node, segments: list[str], depth: int, texts: list[str]) -> Route | None:
    """The first match, a literal segment before a variable one, which may not be empty."""
    if depth == len(segments):
        return node.route
    literal = node.literal.get(segments[depth])
    if literal and (route := _find(literal, segments, depth + 1, texts)):
        return route
    if node.variable is None or not segments[depth]:
        return None
    texts.append(segments[depth])
    if route := _find(node.variable, segments, depth + 1, texts):
        return route
    texts.pop()
    return None
