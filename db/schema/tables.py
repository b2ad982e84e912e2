"""All tables: those of every module of this package."""

from importlib import import_module
from pkgutil import iter_modules

from sqlmodel import SQLModel

from db import schema
from db.owner import OWNER
from db.schema.models import User

for _module in iter_modules(schema.__path__, "db.schema."):
    import_module(_module.name)

METADATA = SQLModel.metadata
"""What the migrations are compared with."""

OWNED_TABLES = [
    table.name
    for table in METADATA.sorted_tables
    if OWNER in table.c or table.name == User.__tablename__
]
"""The tables whose rows belong to one user each."""
