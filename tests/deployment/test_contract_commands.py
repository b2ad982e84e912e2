"""`errand contract`: what is wrong with a contract, and what has changed between two."""

from pathlib import Path

import pytest

from openapi.contract.document import CONTRACT
from tests.support.servers import errand

# One fault a part: a parameter, another one, a response, and an operation without a handler.
FAULTY = """openapi: 3.0.3
info: {title: Notes, version: 0.1.0}
paths:
  /notes:
    get:
      operationId: handlers.health.get_liveness
      parameters:
        - {name: session, in: cookie, schema: {type: string}}
        - {name: shape, in: query, schema: {type: object}}
      responses:
        200:
          description: Notes.
          content:
            application/json:
              schema: {type: string, xml: {name: note}}
    post:
      operationId: handlers.notes.create_note
      responses: {'204': {description: Done.}}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "notes.yaml"
    path.write_text(text)
    return str(path)


def test_check_accepts_the_contract_of_the_server() -> None:
    ended = errand("contract", "check")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{CONTRACT}: nothing is wrong with its ")


def test_check_names_every_fault_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, FAULTY)

    ended = errand("contract", "check", path)

    lines = ended.stderr.removeprefix("Error: ").splitlines()
    assert (ended.returncode, ended.stdout, len(lines)) == (1, "", 4)
    assert f"{path}:6: a parameter needs a plain type" in lines[0]
    assert f"{path}:6: parameters in the cookie are not supported" in lines[1]
    assert f"{path}:15: the schema keyword 'xml' is not supported" in lines[2]
    assert f"{path}:17: nothing implements the operation" in lines[3]


def test_check_names_what_several_operations_share_once(tmp_path: Path) -> None:
    title = "    Title:\n"
    text = CONTRACT.read_text().replace(title, f"{title}      xml: {{name: title}}\n", 1)

    ended = errand("contract", "check", written(tmp_path, text))

    assert len(ended.stderr.splitlines()) == 1
    assert "the schema keyword 'xml' is not supported" in ended.stderr


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        ("title: Notes, ", "", [":2: this is not OpenAPI: 'title' is a required property"]),
        (
            "in: cookie",
            "inn: cookie",
            [":8: this is not OpenAPI: 'inn' does not match any of the regexes"],
        ),
        (
            "{type: object}",
            "{$ref: '#/components/schemas/Shape'}",
            [":9: the reference '#/components/schemas/Shape' leads to nothing in this document"],
        ),
        (
            "{type: object}",
            "{$ref: 'https://example.com/shape.yaml'}",
            [":9: the reference 'https://example.com/shape.yaml' leads to nothing"],
        ),
        ("openapi: 3.0.3", "swagger: '2.0'", [": this is not OpenAPI 3.0"]),
        ("openapi: 3.0.3", "- a", ["notes.yaml: "]),
        (FAULTY, "notes", [": this is not an OpenAPI document"]),
    ],
)
def test_check_names_the_place_of_what_is_no_contract(
    tmp_path: Path, old: str, new: str, reasons: list[str]
) -> None:
    ended = errand("contract", "check", written(tmp_path, FAULTY.replace(old, new, 1)))

    assert ended.returncode == 1
    assert all(reason in ended.stderr for reason in reasons), ended.stderr
    assert "Traceback" not in ended.stderr


def test_diff_of_a_contract_with_itself_is_empty() -> None:
    ended = errand("contract", "diff", str(CONTRACT), str(CONTRACT))

    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "Changes: 0. Breaking: 0.\n"


@pytest.mark.long
def test_diff_marks_what_breaks_clients_and_fails(tmp_path: Path) -> None:
    changed = CONTRACT.read_text().replace("maximum: 100\n", "maximum: 101\n")
    path = written(tmp_path, changed)

    wider = errand("contract", "diff", str(CONTRACT), path)
    narrower = errand("contract", "diff", path, str(CONTRACT))

    change = "GET /api/{user_id}/tasks: query parameter limit: maximum was"
    assert (wider.returncode, narrower.returncode) == (0, 1)
    assert f"                {change} 100, is 101\n" in wider.stdout
    assert f"breaks clients  {change} 101, is 100\n" in narrower.stdout
    assert narrower.stderr.endswith(f"Breaking: {len(narrower.stdout.splitlines())}.\n")


def test_diff_refuses_a_recursive_schema_with_its_line(tmp_path: Path) -> None:
    title = "    Title:\n"
    recursive = f"{title}      not: {{$ref: '#/components/schemas/Title'}}\n"
    path = written(tmp_path, CONTRACT.read_text().replace(title, recursive, 1))

    ended = errand("contract", "diff", str(CONTRACT), path)

    assert ended.returncode == 1
    assert "recursive schemas are not supported (at components.schemas.Title)" in ended.stderr
