"""The pages: Swagger UI and the contract, served without another server."""

import re
from importlib.metadata import version

import pytest
import yaml

from openapi.contract.document import CONTRACT
from tests.support import http
from tests.support.project import ROOT

SECURITY = ROOT / "SECURITY.md"

PAGES = ["/docs", "/problems", "/openapi.yaml", "/openapi.json", "/docs/swagger-ui-bundle.js"]


def test_root_redirects_to_the_documentation(server: str) -> None:
    response = http.get(server, follow_redirects=True)

    assert response.url.path == "/docs"
    assert response.status_code == 200


def test_swagger_ui_is_current_and_complete(server: str) -> None:
    page = http.get(f"{server}/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert len(files) == 5
    for file in files:
        assert file.startswith("/docs/")
        assert http.get(server + file).status_code == 200
    assert re.search(r'"?5\.\d+\.\d+', http.get(f"{server}/docs/swagger-ui-bundle.js").text)


def test_contract_is_the_same_in_yaml_and_json(server: str) -> None:
    as_yaml = yaml.safe_load(http.get(f"{server}/openapi.yaml").content)

    assert as_yaml == http.get(f"{server}/openapi.json").json()


def test_contract_in_json_keeps_the_names_of_its_models(guarded_server: str) -> None:
    served = http.get(f"{guarded_server}/openapi.json").json()

    assert (
        served["components"]["schemas"]
        == yaml.safe_load(CONTRACT.read_text())["components"]["schemas"]
    )
    assert "#/components/schemas/TaskCreate" in str(served["paths"])


@pytest.mark.parametrize("path", PAGES)
def test_page_with_a_matching_etag_returns_304(server: str, path: str) -> None:
    first = http.get(server + path)

    again = http.get(server + path, headers={"If-None-Match": first.headers["etag"]})
    changed = http.get(server + path, headers={"If-None-Match": '"another"'})

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert changed.status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_page_can_only_be_read(server: str, path: str) -> None:
    response = http.post(server + path)

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_contract_has_the_version_of_the_package() -> None:
    assert yaml.safe_load(CONTRACT.read_text())["info"]["version"] == version("errand")


def test_every_test_named_in_security_md_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", SECURITY.read_text()))
    sources = [path.read_text() for path in ROOT.glob("tests/**/test_*.py")]

    assert len(named) > 20
    assert named <= {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
