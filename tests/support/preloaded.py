"""What the process from which servers are forked has computed, so that not each must again.

It is what would be the same in each: the contract as it is written, as it is served, as Connexion
reads it and as its schemas are compiled, which depend on their arguments alone, and the SQL of the
statements.
"""

import gc
import pickle
from pathlib import Path
from typing import Any

import orjson
import yaml
from connexion.spec import Specification
from jsonschema_rs import Draft202012Validator

from db.catalogue import CATALOGUE
from openapi.contract import document
from openapi.contract.document import CONTRACT, Loader
from openapi.contract.faults import Where
from openapi.operations import columns, schemas
from openapi.server.app import App
from openapi.settings import load_settings

TEXT = CONTRACT.read_bytes()
PARSED = pickle.dumps(yaml.load(TEXT, Loader=Loader))

# Else all that is made here would be looked through again and again.
gc.disable()

parse = yaml.load
write = yaml.dump
specify = document._specification
compile_schema = schemas.validator_of
compiled: dict[bytes, Draft202012Validator] = {}
written: dict[bytes, str] = {}
specified: dict[bytes, Specification] = {}


def parse_once(text: Any, Loader: Any) -> Any:  # noqa: N803
    """The document; that of the contract is a copy."""
    return pickle.loads(PARSED) if text == TEXT else parse(text, Loader=Loader)


def write_once(value: Any, **options: Any) -> str:
    """The document as YAML."""
    key = key_of([value, sorted(options)])
    if key not in written:
        written[key] = write(value, **options)
    return written[key]


def specify_once(path: Path, text: bytes, value: dict[str, Any]) -> Specification:
    """The document as Connexion reads it; raises an error if it is no OpenAPI document."""
    key = key_of(value)
    if key not in specified:
        specified[key] = specify(path, text, value)
    return specified[key]


def compile_once(translated: dict[str, Any], where: Where) -> Draft202012Validator:
    """The validator of a schema."""
    key = key_of(translated)
    if key not in compiled:
        compiled[key] = compile_schema(translated, where)
    return compiled[key]


def key_of(value: Any) -> bytes:
    """The same for equal documents alone."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


vars(yaml).update(load=parse_once, dump=write_once)
vars(document).update(_specification=specify_once)
for module in (schemas, columns):
    vars(module).update(validator_of=compile_once)
for local_tokens in (False, True):
    App(load_settings(database_url="postgresql:///x", local_tokens=local_tokens))
for statement in CATALOGUE:
    assert statement.bare
# Else each server would look for cycles among all of this.
gc.collect()
gc.freeze()
gc.enable()
