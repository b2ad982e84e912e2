"""A bug that is planted in a server is found by a promise."""

import re

import pytest

from tests.proof.promises.scene import SMALL
from tests.proof.sabotage.hunt import BUGS, finds, hunt
from tests.support.issuer import Issuer
from tests.support.project import ROOT

ROW = r"^\| (.+) \| .+ \| [\d.]+ s \|$"


def test_a_server_that_ignores_versions_is_found_out(postgres_url: str, issuer: Issuer) -> None:
    found = finds(BUGS["If-Match is ignored"], postgres_url, issuer, (SMALL,))

    assert found
    assert found.outcome.name == "Of concurrent changes of one version one is done"
    assert found.outcome.words == "12 changes: {200: 12}"


def test_contributing_says_what_finds_each_bug_and_how_soon() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text()

    assert re.findall(ROW, contributing, re.MULTILINE) == [*BUGS]


@pytest.mark.long
def test_every_bug_is_found_and_none_in_a_healthy_server() -> None:
    assert hunt() == 0
