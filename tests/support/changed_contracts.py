"""Contracts that differ in one place, and why no server starts with them."""

from pathlib import Path

import pytest

from openapi.contract.faults import UnusableContract
from openapi.server.app import App
from openapi.settings import load_settings


def reason_for_refusal(contract: Path, old: str, new: str, folder: Path) -> str:
    """The message of a server that does not start with the contract in which `old` is `new`."""
    text = contract.read_text()
    assert old in text
    path = folder / "openapi.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UnusableContract, match=r"openapi\.yaml") as refused:
        App(load_settings(database_url="postgresql:///nowhere"), path)
    return str(refused.value)
