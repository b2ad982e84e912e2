"""What the process from which servers are forked has computed, so that not each must again.

It is what would be the same in each: the contract as it is written and its check against OpenAPI's
own schema, which depend on their arguments alone, and the SQL of the statements.
"""

import gc
import pickle
from typing import Any

import orjson
import yaml
from connexion.spec import Specification

from db.catalogue import CATALOGUE
from openapi.contract.document import CONTRACT, Contract, Loader
from openapi.settings import load_settings

TEXT = CONTRACT.read_bytes()
PARSED = pickle.dumps(yaml.load(TEXT, Loader=Loader))

parse = yaml.load
check = Specification._validate_spec.__func__
valid: set[bytes] = set()


def parse_once(text: Any, Loader: Any) -> Any:  # noqa: N803
    """The document; that of the contract is a copy."""
    return pickle.loads(PARSED) if text == TEXT else parse(text, Loader=Loader)


def check_once(cls: type[Specification], document: Any) -> None:
    """Raise an error if it is no OpenAPI document."""
    key = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)
    if key not in valid:
        check(cls, document)
        valid.add(key)


vars(yaml)["load"] = parse_once
Specification._validate_spec = classmethod(check_once)
for local_tokens in (False, True):
    Contract.load(settings=load_settings(database_url="postgresql:///x", local_tokens=local_tokens))
for statement in CATALOGUE:
    assert statement.bare
# Else each server would look for cycles among all of this.
gc.collect()
gc.freeze()
