"""The workflows (Arazzo): a stock runner does them with a server, and finds what breaks them."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from openapi.contract.document import CONTRACT
from openapi.server.docs import WORKFLOWS
from tests.support import http
from tests.support.contract import DOCUMENT
from tests.support.issuer import Issuer
from tests.support.programs import attempted

DESCRIBED = yaml.safe_load(WORKFLOWS.read_text())
NAMES = [workflow["workflowId"] for workflow in DESCRIBED["workflows"]]
STEPS = [step for workflow in DESCRIBED["workflows"] for step in workflow["steps"]]


@pytest.mark.long
@pytest.mark.parametrize("workflow", NAMES)
def test_a_stock_runner_does_the_workflow(
    npm_linters: Path, guarded_server: str, issuer: Issuer, workflow: str
) -> None:
    assert faults(npm_linters, guarded_server, issuer, workflow) == ""


@pytest.mark.long
def test_a_stock_runner_finds_what_breaks_a_workflow(
    npm_linters: Path, guarded_server: str, issuer: Issuer
) -> None:
    wrong = WORKFLOWS.read_text().replace("$statusCode == 304", "$statusCode == 200")

    assert "step get_nothing_new" in faults(npm_linters, guarded_server, issuer, NAMES[0], wrong)


def test_the_workflows_use_operations_of_the_contract() -> None:
    operations = {
        operation.get("operationId")
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    }

    assert {step["operationId"] for step in STEPS} <= operations
    assert DESCRIBED["info"]["version"] == DOCUMENT["info"]["version"]


def test_the_workflows_are_served_beside_the_contract(server: str) -> None:
    served = http.get(f"{server}/{WORKFLOWS.name}")

    assert served.content == WORKFLOWS.read_bytes()
    for source in DESCRIBED["sourceDescriptions"]:
        assert http.get(f"{server}/{source['url']}").status_code == 200


def faults(
    folder: Path, server: str, issuer: Issuer, workflow: str, document: str | None = None
) -> str:
    """What Redocly Respect prints of a run that failed; nothing of one that passed."""
    shutil.copy(CONTRACT, folder)
    (folder / WORKFLOWS.name).write_text(document or WORKFLOWS.read_text())
    inputs = {
        "authorization": f"Bearer {issuer.token(str(uuid4()))}",
        "task_id": str(uuid4()),
        "key": str(uuid4()),
    }
    done = attempted(
        folder,
        *("redocly", "respect", WORKFLOWS.name, "--workflow", workflow),
        *("--server", f"errand={server}", "--input", json.dumps(inputs)),
    )
    return done.stdout + done.stderr if done.returncode else ""
