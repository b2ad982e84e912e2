"""The code of OFFLINE.md, as it stands there: type-checked, and run over a bad network."""

import json
import random
import re
from uuid import uuid4

import pytest

from tests.support.flaky import Fate, flaky
from tests.support.programs import Client
from tests.support.project import ROOT

PAGE = ROOT / "OFFLINE.md"
MISFORTUNES = [
    *(Fate.IS_LOST, Fate.IS_CUT, Fate.ANSWER_IS_LOST, Fate.ANSWER_IS_CUT),
    *(Fate.COMES_TWICE, Fate.COMES_TWICE_AT_ONCE),
]

pytestmark = pytest.mark.long


@pytest.fixture
def program(typescript: Client) -> str:
    """The page's client, and what it lives through, compiled strictly."""
    [code] = re.findall(r"^```ts\n// offline\.ts\n(.+?)^```", PAGE.read_text(), re.M | re.S)
    (typescript.folder / "offline.ts").write_text(code)
    configuration = {"extends": "./tsconfig.json", "files": ["at_sea.ts"]}
    (typescript.folder / "tsconfig.at-sea.json").write_text(json.dumps(configuration))
    typescript.runs("tsc", "--project", "tsconfig.at-sea.json")
    return "built/at_sea.js"


def test_the_client_of_the_page_has_what_the_server_has_whatever_the_network_does(
    typescript: Client,
    program: str,
) -> None:
    seed = random.getrandbits(32)
    print(f"seed = {seed}")
    dice = random.Random(seed)

    def fate() -> Fate:
        return dice.choice(MISFORTUNES) if dice.random() < 0.4 else Fate.ARRIVES

    with flaky(typescript.server, fate) as network:
        printed = typescript.runs("node", program, network.url, typescript.server, str(uuid4()))

    assert printed == "the copies are exact\n"
