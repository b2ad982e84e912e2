"""Clients that other generators make of the contract compile, and live the life of a task.

Each program reads tasks, tombstones and problems, and tells them apart by their types.
"""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.programs import Client

LIVED = "the task has lived\n"

pytestmark = pytest.mark.long


def generate(python: Client, generator: str, output: Path, *options: str) -> None:
    """Let openapi-generator make a client of the contract as the server serves it."""
    contract = f"--input-spec={python.server}/openapi.json"
    python.runs(
        *("openapi-generator-cli", "generate", f"--generator-name={generator}", contract),
        *(f"--output={output}", *options),
    )


@pytest.fixture(scope="session")
def java(python: Client) -> Client:
    """The same folder, where openapi-generator can run."""
    if not shutil.which("java"):
        pytest.skip("there is no Java here")
    return python


@pytest.fixture(scope="session")
def commonjs(typescript: Client, java: Client) -> Path:
    """A folder with the programs in TypeScript, type-checked strictly and compiled."""
    contract = f"{typescript.server}/openapi.json"
    typescript.runs("openapi-ts", "--input", contract, "--output", "hey_api")
    typescript.runs("orval", "--input", contract, "--output", "orval/index.ts", "--client=fetch")
    generate(java, "typescript-fetch", typescript.folder / "typescript_fetch")
    typescript.runs("tsc", "--project", "tsconfig.commonjs.json")
    compiled = typescript.folder / "commonjs"
    (compiled / "package.json").write_text('{"type": "commonjs"}')
    return compiled


@pytest.mark.parametrize("program", ["with_hey_api", "with_orval", "with_openapi_generator"])
def test_a_client_in_typescript_lives_the_life_of_a_task(
    typescript: Client, commonjs: Path, program: str
) -> None:
    assert typescript.runs("node", f"{commonjs}/{program}.js", typescript.server) == LIVED


def test_a_client_in_python_lives_the_life_of_a_task(java: Client) -> None:
    generate(java, "python", java.folder / "openapi_generator_python")
    java.runs("pip", "install", "./openapi_generator_python")

    assert java.runs("python", "with_openapi_generator.py", java.server) == LIVED


def test_a_client_in_java_lives_the_life_of_a_task(java: Client) -> None:
    if not shutil.which("javac"):
        pytest.skip("there is no Java compiler here")
    # The generator's own jar has the libraries that its clients need.
    locate = "import openapi_generator_cli as package; print(package.__path__[0])"
    jar = Path(java.runs("python", "-c", locate).strip()) / "openapi-generator.jar"
    options = ("--library=native", "--additional-properties=openApiNullable=false")
    generate(java, "java", java.folder / "openapi_generator_java", *options)
    sources = map(str, java.folder.glob("openapi_generator_java/src/main/**/*.java"))

    stub = "javax/annotation/Generated.java"
    java.runs("javac", "-d", "classes", "-cp", str(jar), stub, *sources, "LifeOfATask.java")

    assert java.runs("java", "-cp", f"classes:{jar}", "LifeOfATask", java.server) == LIVED


def test_a_client_in_go_lives_the_life_of_a_task(java: Client) -> None:
    if not shutil.which("go"):
        pytest.skip("there is no Go here")
    package = java.folder / "gopath" / "src" / "errand"
    # Without the discriminator it would need a library, and take no union with a time in it.
    # Without the prefix two enums could not have one word.
    properties = "packageName=errand,useOneOfDiscriminatorLookup=true,enumClassPrefix=true"
    generate(java, "go", package, f"--additional-properties={properties}")
    environment = ("env", f"GOPATH={java.folder / 'gopath'}", "GO111MODULE=off", "GOFLAGS=")

    run = ("go", "run", "life_of_a_task.go", java.server, str(uuid4()))

    assert java.runs(*environment, *run) == LIVED
