"""What a session has prepared: some statements for good, others on demand and for a time."""

from collections import OrderedDict
from collections.abc import Iterable

from db.postgres.statement import Statement

MOST_ON_DEMAND = 64


class PreparedStatements:
    """The statements that one session knows.

    Of those that were prepared on demand, it forgets the least recently used one first.
    """

    def __init__(self) -> None:
        self._permanent: set[str] = set()
        self._on_demand: OrderedDict[str, Statement] = OrderedDict()
        self._refused: set[str] = set()

    def add_permanent(self, statements: Iterable[Statement]) -> None:
        """They have been prepared, and stay so."""
        self._permanent.update(each.name for each in statements)

    def has(self, statement: Statement) -> bool:
        """Whether the session knows the statement, which then counts as used."""
        if statement.name in self._permanent:
            return True
        if statement.name not in self._on_demand:
            return False
        self._on_demand.move_to_end(statement.name)
        return True

    def lacks(self, statement: Statement) -> bool:
        """Whether the session could prepare the statement, and has not done so."""
        return not self.has(statement) and statement.name not in self._refused

    def refuse(self, statement: Statement) -> None:
        """The session cannot prepare the statement."""
        self._refused.add(statement.name)

    def preparation(self, statement: Statement, *, functions: bool) -> str:
        """The SQL that prepares a statement on demand, and forgets another if there are many."""
        texts = [statement.preparation]
        if functions and statement.returns_document:
            texts.append(statement.preparation_for_each)
        if len(self._on_demand) == MOST_ON_DEMAND:
            forgotten = next(iter(self._on_demand.values()))
            texts.append(forgotten.deallocation)
            if functions and forgotten.returns_document:
                texts.append(forgotten.deallocation_for_each)
        return "; ".join(texts)

    def add(self, statement: Statement) -> None:
        """It was prepared by that SQL."""
        if len(self._on_demand) == MOST_ON_DEMAND:
            self._on_demand.popitem(last=False)
        self._on_demand[statement.name] = statement
