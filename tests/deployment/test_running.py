"""The files that run a server: for Docker, Compose, systemd and Kubernetes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openapi.settings import Settings, variable
from tests.support.contract import DOCUMENT
from tests.support.project import ROOT

DOCKERFILE, COMPOSE = ROOT / "Dockerfile", ROOT / "compose.yaml"
UNIT, KUBERNETES = ROOT / ".deploy" / "errand.service", ROOT / ".deploy" / "kubernetes.yaml"

# The oldest release whose pods can sleep before their end without a feature gate being set.
RELEASES = ("1.30", "1.34")

OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(KUBERNETES.read_text()))


def linted(name: str, *arguments: str | Path) -> None:
    """Run a linter, if it is installed beside Python."""
    program = Path(sys.executable).with_name(name)
    if not program.exists():
        pytest.skip(f"{name} is not installed: it comes with the extra `check`")
    ended = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_dockerfile_has_no_fault() -> None:
    linted("hadolint", DOCKERFILE)


@pytest.mark.long
def test_compose_file_has_no_fault() -> None:
    linted("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


@pytest.mark.long
@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_accepts_every_object(release: str) -> None:
    linted("kubernetes-validate", "--strict", "--kubernetes-version", release, KUBERNETES)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_accepts_the_unit_and_finds_it_safe(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/errand/bin/errand", sys.executable))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    secure = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", str(unit)]
    assert subprocess.run(secure, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "file", [DOCKERFILE, COMPOSE, UNIT, KUBERNETES], ids=lambda each: each.name
)
def test_settings_in_the_file_are_those_that_there_are(file: Path) -> None:
    known = {variable(name) for name in Settings.model_fields}

    assert set(re.findall(r"\b(?:ERRAND_[A-Z_]+|DATABASE_URL)\b", file.read_text())) - known <= {
        "ERRAND_PORT"
    }


def one(kind: str) -> dict[str, Any]:
    """The object of this kind."""
    [found] = [each for each in OBJECTS if each["kind"] == kind]
    return found


def pod_of(kind: str) -> dict[str, Any]:
    specification: dict[str, Any] = one(kind)["spec"]["template"]["spec"]
    return specification


def test_probes_ask_what_they_mean() -> None:
    [container] = pod_of("Deployment")["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in PROBES}

    assert paths == PROBES
    assert set(paths.values()) <= DOCUMENT["paths"].keys()


PROBES = {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


def test_stop_has_more_time_than_requests_need() -> None:
    pod = pod_of("Deployment")
    [container] = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    probe = container["readinessProbe"]

    assert pause > probe["periodSeconds"] * probe["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > pause + 10 + 20


@pytest.mark.parametrize("kind", ["Job", "Deployment"])
def test_pods_are_locked_down_and_have_no_variables_of_services(kind: str) -> None:
    pod = pod_of(kind)
    [container] = pod["containers"]

    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) in DOCKERFILE.read_text()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_disruption_budget_and_service_choose_the_pods_that_serve() -> None:
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]

    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert one("Service")["spec"]["selector"] == labels
    assert (
        one("PodDisruptionBudget")["spec"]["minAvailable"] < one("Deployment")["spec"]["replicas"]
    )
