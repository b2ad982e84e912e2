"""The statements that a session has prepared: some permanently, others on demand."""

from collections import OrderedDict
from collections.abc import Iterable

from db.postgres.statement import Statement


class PreparedStatements:
    """The prepared statements of one session.

    Those on demand are a cache of `most`: the least recently used one is deallocated first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._permanent: set[str] = set()
        self._on_demand: OrderedDict[str, Statement] = OrderedDict()
        self._refused: set[str] = set()

    def add_permanent(self, statements: Iterable[Statement]) -> None:
        """Note statements that were prepared and stay prepared."""
        self._permanent.update(each.name for each in statements)

    def has(self, statement: Statement) -> bool:
        """Whether the session has prepared the statement; marks it as recently used."""
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
        """Note that the session cannot prepare the statement."""
        self._refused.add(statement.name)

    def preparation(self, statement: Statement, *, functions: bool) -> str:
        """The SQL that prepares a statement on demand; if there are many, it deallocates one."""
        texts = statement.preparations(functions=functions)
        if len(self._on_demand) == self._most:
            forgotten = next(iter(self._on_demand.values()))
            texts += forgotten.deallocations(functions=functions)
        return "; ".join(texts)

    def add(self, statement: Statement) -> None:
        """Note a statement that was prepared with the SQL of `preparation`."""
        if len(self._on_demand) == self._most:
            self._on_demand.popitem(last=False)
        self._on_demand[statement.name] = statement
