"""`errand stubs`: from operations that nothing implements to code."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from db.postgres.schema_version import NEWEST
from openapi.contract.document import CONTRACT, Contract
from openapi.stubs.files import File, files_of
from openapi.stubs.missing import NoStub
from tests.support.copies import copied, run_in
from tests.support.servers import errand

# One operation of each kind: a list, a creation, a condition, names that Python has, many
# parameters, a stream, and one that belongs to a module that is there.
PATHS = """
  /api/{user_id}/gadgets:
    parameters:
      - $ref: '#/components/parameters/UserId'
    get:
      operationId: list_gadgets
      x-openapi-router-controller: handlers.gadgets
      summary: List "gadgets"
      parameters:
        - {name: limit, in: query, schema: {type: integer, default: 50}}
        - {name: kind, in: query, schema: {type: array, items: {type: string, enum: [a, b]}}}
      responses:
        '200':
          description: The gadgets.
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/Gadget'}}
    post:
      operationId: create_gadget
      x-openapi-router-controller: handlers.gadgets
      summary: Create a gadget
      parameters:
        - $ref: '#/components/parameters/IdempotencyKey'
        - {name: If-None-Match, in: header, schema: {type: string, enum: ['*']}}
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Gadget'}}}
      responses:
        '201':
          description: The gadget.
          headers: {Location: {schema: {type: string}}}
          content: {application/json: {schema: {$ref: '#/components/schemas/Gadget'}}}
  /api/{user_id}/gadgets/{gadget_id}:
    parameters:
      - $ref: '#/components/parameters/UserId'
      - {name: gadget_id, in: path, required: true, schema: {type: string, format: uuid}}
    get:
      operationId: get_gadget
      x-openapi-router-controller: handlers.gadgets
      summary: |
        Get a gadget, in a sentence that is far longer than a line of the source code can be, as it
        says
      parameters:
        - {name: cursor, in: query, schema: {type: string}}
        - {name: id, in: query, schema: {type: string, format: uuid}}
        - {name: X-Kind, in: header, required: true, schema: {type: string, enum: [a, b]}}
        - {name: text, in: query, required: true, schema: {type: string, minLength: 200}}
      responses:
        '200':
          description: The gadget.
          content: {application/json: {schema: {$ref: '#/components/schemas/Gadget'}}}
    delete:
      operationId: delete_gadget
      x-openapi-router-controller: handlers.gadgets
      responses: {'204': {description: It is gone.}}
  /api/{user_id}/gadget-events:
    get:
      operationId: watch_gadgets
      x-openapi-router-controller: handlers.gadgets
      parameters:
        - $ref: '#/components/parameters/UserId'
      responses:
        '200':
          description: The events.
          content: {application/jsonl: {x-itemSchema: {$ref: '#/components/schemas/Gadget'}}}
  /api/{user_id}/gadget-sizes:
    put:
      operationId: put_sizes
      x-openapi-router-controller: handlers.tasks
      parameters:
        - $ref: '#/components/parameters/UserId'
      requestBody:
        content: {application/json: {schema: {type: array, items: {type: integer}}}}
      responses: {'204': {description: They are stored.}}
"""
SCHEMAS = """
    Gadget:
      description: A thing of a user's. It has a field of each type.
      type: object
      additionalProperties: false
      required:
        [id, count, small, weight, done, made, tags, more, kind, created_at, seen_at, any, long]
      properties:
        count: {type: integer, minimum: 0, maximum: 99999}
        small: {type: integer, format: int32}
        id: {$ref: '#/components/schemas/Id'}
        user_id: {$ref: '#/components/schemas/Id'}
        weight: {type: number}
        done: {type: boolean}
        made: {type: string, format: date}
        tags: {type: array, items: {type: string}}
        more:
          type: object
          additionalProperties: false
          properties: {text: {type: string}}
          example:
            text: This is the text of an example that does not fit into one line of the code at all.
        kind: {type: string, enum: [a, bcd]}
        created_at: {type: string, format: date-time}
        seen_at: {type: string, format: date-time, nullable: true}
        note: {type: string, nullable: true, maxLength: 10}
        title: {allOf: [{$ref: '#/components/schemas/Title'}], description: What it is called}
        any: {oneOf: [{type: string}, {type: integer}]}
        long: {type: string, nullable: true, minLength: 1000, maxLength: 10000}
"""


def with_gadgets(text: str) -> str:
    """The contract with operations that nothing implements."""
    text = text.replace("\npaths:", f"\npaths:{PATHS}", 1)
    return text.replace("\n  schemas:", f"\n  schemas:{SCHEMAS}", 1)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    path = tmp_path_factory.mktemp("contract") / "openapi.yaml"
    path.write_text(with_gadgets(CONTRACT.read_text()))
    return Contract.load(path)


def texts(files: list[File]) -> dict[str, str]:
    return {file.path: file.text for file in files}


def test_an_implemented_contract_needs_no_stubs() -> None:
    ended = errand("stubs")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "Every operation of the contract is implemented.\n"


def test_every_missing_operation_has_a_handler_a_test_and_its_resource_a_table(
    contract: Contract,
) -> None:
    files = files_of(contract)

    assert [(file.path, file.is_new) for file in files] == [
        ("handlers/gadgets.py", True),
        ("handlers/tasks.py", False),
        ("tests/api/test_gadgets.py", True),
        ("tests/api/test_put_sizes.py", True),
        ("db/schema/gadgets.py", True),
        (f"db/migrations/versions/{int(NEWEST) + 1:04}_gadgets.py", True),
    ]
    for file in files:
        ast.parse(file.text)


def test_one_operation_can_be_named(contract: Contract) -> None:
    files = files_of(contract, ["put_sizes"])

    assert [file.path for file in files] == ["handlers/tasks.py", "tests/api/test_put_sizes.py"]


@pytest.mark.parametrize(
    "signature",
    [
        # Context first, then what is always there in the contract's order, then what may be absent.
        "async def list_gadgets(\n"
        "    context: Context, user_id: UUID, limit: int, kind: list[str] | None = None\n"
        ") -> list[dict[str, Any]]:\n"
        '    """List \'gadgets\'."""\n',
        "async def create_gadget(\n"
        "    context: Context, user_id: UUID, body: dict[str, Any], "
        "if_none_match: str | None = None\n"
        ") -> Returned:\n",
        # Many parameters are keyword arguments, in the contract's order.
        "async def get_gadget(\n"
        "    context: Context,\n"
        "    user_id: UUID,\n"
        "    gadget_id: UUID,\n"
        "    *,\n"
        "    cursor: str | None = None,\n"
        "    id: UUID | None = None,  # noqa: A002\n"
        "    x_kind: str,\n"
        "    text: str,\n"
        ") -> dict[str, Any]:\n",
        "async def delete_gadget(context: Context, user_id: UUID, gadget_id: UUID) -> None:\n"
        '    """Delete gadget."""\n'
        "    raise NotImplementedError\n",
        "async def watch_gadgets(context: Context, user_id: UUID) -> AsyncIterator[Any]:\n",
    ],
)
def test_handler_has_the_types_and_the_order_of_the_contract(
    contract: Contract, signature: str
) -> None:
    assert signature in texts(files_of(contract))["handlers/gadgets.py"]


def test_a_test_of_one_resource_creates_it_first(contract: Contract) -> None:
    text = texts(files_of(contract))["tests/api/test_gadgets.py"]

    deleting = text[text.index("def test_delete_gadget") : text.index("def test_watch_gadgets")]
    assert 'created = alice.post(\n        f"/api/{alice.id}/gadgets",\n' in deleting
    assert "alice.delete(f\"/api/{alice.id}/gadgets/{created['id']}\")" in deleting
    assert "assert response.status_code == 204\n" in deleting
    assert 'assert_as_described(response, OPERATIONS["delete_gadget"])\n' in deleting


def test_the_key_of_a_table_begins_with_the_owner(contract: Contract) -> None:
    found = texts(files_of(contract))

    model = found["db/schema/gadgets.py"]
    migration = found[f"db/migrations/versions/{int(NEWEST) + 1:04}_gadgets.py"]
    assert model.index(" user_id: UUID") < model.index(" id: UUID") < model.index(" count: int")
    assert 'sa.PrimaryKeyConstraint("user_id", "id"),\n' in migration
    assert migration.endswith('    isolate("gadgets")\n')
    assert f'down_revision = "{NEWEST}"\n' in migration


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("list_tasks", "list_tasks is there already, in handlers/tasks.py"),
        ("list_tusks", "the contract has no operation list_tusks; did you mean list_tasks?"),
        ("nonsense", "the contract has no operation nonsense"),
    ],
)
def test_an_operation_without_a_stub_is_one_sentence(name: str, reason: str) -> None:
    ended = errand("stubs", "--write", name)

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"Error: {reason}\n")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("controller: handlers.gadgets", "controller: db.gadgets", "name the handler's module as"),
        ("operationId: put_sizes", "operationId: put-sizes", "name the handler's module as"),
        ("name: cursor", "name: 'page[size]'", "no argument of Python can be named 'page[size]'"),
        ("        count: {", "        metadata: {", "no field of a model can be named 'metadata'"),
        ("controller: handlers.tasks", "controller: handlers.health", "lacks what the handler"),
    ],
)
def test_what_python_cannot_say_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = with_gadgets(CONTRACT.read_text())
    place = text.index(old, text.index(PATHS if old in PATHS else SCHEMAS))
    path = tmp_path / "openapi.yaml"
    path.write_text(text[:place] + text[place:].replace(old, new, 1))

    with pytest.raises(NoStub) as refused:
        files_of(Contract.load(path))

    assert reason in str(refused.value)


@pytest.mark.long
def test_written_stubs_change_no_line_and_are_not_written_twice(tmp_path: Path) -> None:
    folder = project_with_gadgets(tmp_path)
    before = contents(folder)

    start = run_in(folder, "openapi", "contract", "check")
    printed = run_in(folder, "openapi", "stubs")
    unwritten = contents(folder)
    typed = {"COMP_WORDS": "errand stubs pu", "COMP_CWORD": "2"}
    proposed = run_in(folder, "openapi", _ERRAND_COMPLETE="bash_complete", **typed)
    written = run_in(folder, "openapi", "stubs", "--write")
    after = contents(folder)
    again = run_in(folder, "openapi", "stubs", "--write")

    assert "nothing implements the operation" in start.stderr
    assert "openapi stubs list_gadgets` prints a handler for it" in start.stderr
    assert "# handlers/gadgets.py (new)\n" in printed.stdout
    assert unwritten == before
    assert proposed.stdout == "plain,put_sizes\n"
    assert (written.returncode, again.stdout) == (0, "")
    assert all(after[name].startswith(text) for name, text in before.items())
    assert [name for name, text in before.items() if after[name] != text] == ["handlers/tasks.py"]
    assert contents(folder) == after


@pytest.mark.long
def test_a_file_that_is_there_is_refused_before_any_is_written(tmp_path: Path) -> None:
    folder = project_with_gadgets(tmp_path)
    (folder / "db/schema/gadgets.py").write_text('"""Something else."""\n')
    before = contents(folder)

    refused = run_in(folder, "openapi", "stubs", "--write")

    assert refused.returncode == 1
    assert refused.stderr == "Error: db/schema/gadgets.py is there already, and is not changed\n"
    assert contents(folder) == before


@pytest.mark.long
@pytest.mark.skipif(not find_spec("ruff") or not find_spec("mypy"), reason="checks the stubs")
def test_written_stubs_pass_every_check_of_the_project(tmp_path: Path) -> None:
    folder = project_with_gadgets(tmp_path)
    run_in(folder, "openapi", "stubs", "--write")

    checks = [
        run_in(folder, "ruff", "check", "."),
        run_in(folder, "ruff", "format", "--check", "."),
        run_in(folder, "mypy"),
    ]

    assert [each.stdout for each in checks if each.returncode] == []


def project_with_gadgets(folder: Path) -> Path:
    """A copy of the project whose contract has operations that nothing implements."""
    copy = copied(folder / "project")
    file = copy / "openapi/openapi.yaml"
    file.write_text(with_gadgets(file.read_text()))
    return copy


def contents(folder: Path) -> dict[str, str]:
    """The text of each source file."""
    return {
        str(file.relative_to(folder)): file.read_text()
        for top in ("openapi", "handlers", "db", "tests/api")
        for file in (folder / top).rglob("*.py")
    }
