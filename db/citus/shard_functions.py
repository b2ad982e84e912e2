"""The functions of one shard, made from those of the schema."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from db.citus.shard_sql import on_shard
from db.schema.tables import OWNED_TABLES

# The name of the schema's function is in the way: PostgreSQL writes `has_task.owner`.
DEFINITION = re.compile(
    r"(?P<head>.*?)\n(?:AS \$function\$(?P<text>.*)\$function\$"
    r"|BEGIN ATOMIC\n(?P<block>.*)\nEND|RETURN (?P<value>.*))\s*",
    re.DOTALL,
)
# A table of users, or an index of one, whose name begins with the table's.
RELATION = re.compile(rf"'({'|'.join(OWNED_TABLES)})((?:_\w+)?)'::regclass")
SEARCH_PATH = re.compile(r"SET search_path TO .*")

RIGHTS = """
REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {name} TO errand_app;
"""

# PL/pgSQL has the names TG_OP, OLD and NEW in triggers alone: here they are the parameters.
TRIGGER_FUNCTION = """
CREATE OR REPLACE FUNCTION {name}(tg_op text, old record, new record) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp
AS $function${source}$function$;
"""


class Function(NamedTuple):
    """A function as PostgreSQL writes it, with the names of tables unqualified."""

    schema: str
    name: str
    definition: str
    source: str

    def on_node(self) -> str:
        """What creates it, with the rights of the server's role."""
        return f"{self.definition};{RIGHTS.format(name=self._qualified(self.name))}"

    def on_shard(self, tables: Mapping[str, int]) -> str:
        """What creates the function of a shard, whose node need not have its tables yet.

        The body is a text: one of SQL statements would be bound to the tables when it is created.
        """
        suffix = tables["users"]
        found = DEFINITION.fullmatch(self.definition)
        if not found:
            raise ValueError(f"The definition of {self.name} is not understood.")
        body = found["text"] or found["block"] or f"SELECT {found['value']}"
        body = re.sub(rf"\b{self.name}\.", f"{self.name}_{suffix}.", on_shard(body, tables, suffix))
        body = RELATION.sub(lambda of: f"'{of[1]}{of[2]}_{tables[of[1]]}'::regclass", body)
        path = f"SET search_path TO pg_catalog, {self.schema}, pg_temp"
        name = self._qualified(f"{self.name}_{suffix}")
        head = found["head"].replace(f" {self._qualified(self.name)}(", f" {name}(", 1)
        head = SEARCH_PATH.sub(path, head)
        return f"{head}\nAS $function${body}$function$;{RIGHTS.format(name=name)}"

    def for_trigger_on(self, table: str, tables: Mapping[str, int]) -> str:
        """What creates the function that the triggers of a shard's table call."""
        name = self._qualified(f"{self.name}_{tables[table]}")
        source = on_shard(self.source, tables, tables["users"])
        definition = TRIGGER_FUNCTION.format(name=name, schema=self.schema, source=source)
        return definition + RIGHTS.format(name=name)

    def _qualified(self, name: str) -> str:
        return f"{self.schema}.{name}"
