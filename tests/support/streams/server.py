"""Serve the contract of streams, or another one, as `errand serve` serves its own."""

import os
from functools import partial
from pathlib import Path
from typing import Any, cast

from openapi.server import run
from openapi.server.app import App
from openapi.settings import load_settings

CONTRACT = Path(__file__).with_name("openapi.yaml")


def main() -> None:
    """Serve until a signal comes, on any free port."""
    contract = Path(os.environ.get("CONTRACT", CONTRACT))
    cast(Any, run).App = partial(App, contract_path=contract)
    run.GRACE_SECONDS = int(os.environ.get("GRACE_SECONDS", run.GRACE_SECONDS))
    run.serve(load_settings(port=0))
