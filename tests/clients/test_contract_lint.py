"""The contract, as written and as served, and its workflows pass strict linters.

Each exception has a reason.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from openapi.contract.document import CONTRACT
from openapi.server.docs import WORKFLOWS
from tests.support.issuer import Issuer
from tests.support.programs import attempted
from tests.support.project import ROOT
from tests.support.servers import Serve, trusting

OF_TESTS = ROOT / "tests" / "clients" / "lint"
SPECTRAL = ("spectral", "lint", "--quiet", "--fail-severity=hint", "--ruleset")
REDOCLY = ("redocly", "lint", "--config")
LINTERS = {".spectral.yaml": SPECTRAL, ".redocly.yaml": REDOCLY}

# OWASP's rules ask for what open mode does without.
OF_OPEN_MODE = "open-mode.spectral.yaml"
CONFIGURATIONS = {**LINTERS, OF_OPEN_MODE: SPECTRAL}

every_linter = pytest.mark.parametrize("config", LINTERS)
every_configuration = pytest.mark.parametrize("config", CONFIGURATIONS)


@dataclass
class Linters:
    """A folder with the linters, their configuration and the contract."""

    folder: Path

    def findings(self, config: str, document: Path = CONTRACT) -> set[str]:
        """The rules that a document breaks."""
        linter = CONFIGURATIONS[config]
        done = attempted(self.folder, *linter, config, "--format=json", document.name)
        found = json.loads(done.stdout)
        rules = (
            {each["code"] for each in found}
            if isinstance(found, list)
            else {each["ruleId"] for each in found["problems"]}
        )
        assert (done.returncode == 0) is (not rules), done.stderr
        return rules

    def write(self, name: str, content: str) -> None:
        """Put something else in the place of a file."""
        (self.folder / name).write_text(content)


@pytest.fixture
def linters(npm_linters: Path, monkeypatch: pytest.MonkeyPatch) -> Linters:
    """The linters, without telemetry, with the contract and their configuration as they are."""
    monkeypatch.setenv("REDOCLY_TELEMETRY", "off")
    monkeypatch.setenv("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
    for file in (CONTRACT, WORKFLOWS, *map(path_of, CONFIGURATIONS)):
        shutil.copy(file, npm_linters)
    return Linters(npm_linters)


@pytest.mark.long
@every_linter
def test_the_contract_passes(linters: Linters, config: str) -> None:
    assert linters.findings(config) == set()


@pytest.mark.long
@every_linter
def test_the_workflows_pass(linters: Linters, config: str) -> None:
    assert linters.findings(config, WORKFLOWS) == set()


@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "wrong", "rule"),
    [
        (".spectral.yaml", "step id", "arazzo-step-stepId"),
        (".redocly.yaml", "copy", "stepId-unique"),
    ],
)
def test_a_planted_fault_of_a_workflow_is_found(
    linters: Linters, config: str, wrong: str, rule: str
) -> None:
    text = WORKFLOWS.read_text()
    linters.write(WORKFLOWS.name, text.replace("stepId: copy_again", f"stepId: {wrong}"))

    assert rule in linters.findings(config, WORKFLOWS)


@pytest.mark.long
@pytest.mark.parametrize("config", [OF_OPEN_MODE, ".redocly.yaml"])
def test_the_contract_served_in_open_mode_passes(
    linters: Linters, server: str, config: str
) -> None:
    linters.write(CONTRACT.name, served(server))

    assert linters.findings(config) == set()


@pytest.mark.long
@every_linter
def test_the_contract_served_with_tokens_passes(
    linters: Linters, serve: Serve, issuer: Issuer, config: str
) -> None:
    url = serve(**trusting(issuer, ERRAND_CORS_ORIGINS="https://app.example.com"))

    linters.write(CONTRACT.name, served(url))

    assert linters.findings(config) == set()


@pytest.mark.long
@every_linter
def test_no_rule_is_switched_off_that_the_contract_keeps(linters: Linters, config: str) -> None:
    written = configured(config)

    linters.write(config, yaml.safe_dump({"extends": written["extends"]}))

    assert linters.findings(config) == set(switched_off(config))


@pytest.mark.long
def test_no_rule_is_switched_off_that_the_contract_of_open_mode_keeps(
    linters: Linters, server: str
) -> None:
    written = configured(OF_OPEN_MODE)
    linters.write(CONTRACT.name, served(server))

    linters.write(OF_OPEN_MODE, yaml.safe_dump({"extends": written["extends"]}))

    assert linters.findings(OF_OPEN_MODE) == set(switched_off(OF_OPEN_MODE))


@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "right", "wrong", "rule"),
    [
        (".spectral.yaml", "maxLength: 255", "", "owasp:api4:2023-string-limit"),
        (".spectral.yaml", "operationId: get_task", "", "operation-operationId"),
        (".redocly.yaml", "summary: Get a task", "", "operation-summary"),
        (".redocly.yaml", "{task_id}/complete", "{id}/complete", "path-parameters-defined"),
    ],
)
def test_a_planted_fault_is_found(
    linters: Linters, config: str, right: str, wrong: str, rule: str
) -> None:
    linters.write(CONTRACT.name, CONTRACT.read_text().replace(right, wrong))

    assert rule in linters.findings(config)


@every_configuration
def test_every_rule_that_is_switched_off_has_its_reason(config: str) -> None:
    rules = switched_off(config)

    assert set(rules.values()) <= {False}
    lines = [line for line in path_of(config).read_text().splitlines() if ": off" in line]
    assert len(lines) == len(rules)
    assert all(re.fullmatch(r" +\S+: off  # \S.+", line) for line in lines)


def switched_off(config: str) -> dict[str, bool]:
    """The rules that are set, everywhere or in some places, off being false in YAML 1.1."""
    written = configured(config)
    places = [written, *written.get("overrides", [])]
    return {rule: value for place in places for rule, value in place.get("rules", {}).items()}


def configured(config: str) -> dict[str, Any]:
    """What a linter's configuration says."""
    content: dict[str, Any] = yaml.safe_load(path_of(config).read_text())
    return content


def path_of(config: str) -> Path:
    """Where a configuration is."""
    return (ROOT if config in LINTERS else OF_TESTS) / config


def served(url: str) -> str:
    """The contract as this server serves it."""
    return httpx.get(f"{url}/openapi.yaml").text
