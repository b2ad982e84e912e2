"""What stops a start, or is warned of: one sentence that says what to do."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.postgres.database_url import hosts_without_tls
from tests.support.databases import administration
from tests.support.project import OPERATIONS
from tests.support.servers import errand


@pytest.fixture
def data_dir() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        yield f"{folder}/data"


def test_a_misspelt_setting_is_corrected() -> None:
    ended = errand("serve", ERRAND_PROT="8001", ERRAND_NONSENSE="1")

    assert "ERRAND_PROT: there is no such setting; did you mean ERRAND_PORT?" in ended.stderr
    assert "ERRAND_NONSENSE: there is no such setting\n" in ended.stderr


def test_a_port_that_is_taken_is_one_sentence_before_postgresql_starts(data_dir: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = errand("serve", "--port", port, "--data-dir", data_dir)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"Error: Errand cannot listen on 127.0.0.1, port {port}: another program uses it: "
        "stop that, or choose another port with --port.\n"
    )
    assert not Path(data_dir).exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_one_sentence(data_dir: str, host: str) -> None:
    flags = ["--host", host, "--open", "--port", "0", "--data-dir", data_dir]

    ended = errand("serve", *flags)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: Errand cannot listen on {host}, port 0: ")
    assert len(ended.stderr.splitlines()) == 1
    assert not Path(data_dir).exists()


@pytest.fixture(scope="session")
def guarded_roles(postgres_url: str) -> Iterator[str]:
    """Roles that need a password; yields the part of a URL that leads to PostgreSQL."""
    with administration(postgres_url) as execute:
        for role in ("clerk", "porter"):
            execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
        execute("CREATE ROLE ghost NOLOGIN")
    with psycopg2.connect(postgres_url) as opened, opened.cursor() as cursor:
        cursor.execute("SHOW hba_file")
        file = Path(cursor.fetchall()[0][0])
    opened.close()
    rules = file.read_text()
    file.write_text(f"local all clerk,porter scram-sha-256\n{rules}")
    with administration(postgres_url) as execute:
        execute("REVOKE CONNECT ON DATABASE template FROM PUBLIC")
        execute("SELECT pg_reload_conf()")
    yield postgres_url
    file.write_text(rules)


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "a wrong password": ({"user": "clerk", "password": "wrong"}, "correct the password"),
    "no password": ({"user": "clerk"}, "put the role's password into DATABASE_URL"),
    "a role that does not exist": ({"user": "nobody_here"}, "create the role"),
    "a role that may not log in": ({"user": "ghost"}, "let it log in"),
    "a database that does not exist": ({"dbname": "nowhere"}, "create the database"),
    "a database that is closed to the role": (
        {"user": "porter", "password": "right", "dbname": "template"},
        "GRANT it CONNECT",
    ),
}


@pytest.mark.parametrize("command", ["serve", "migrate", "purge"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_database_refuses_for_good_what_waiting_would_not_mend(
    guarded_roles: str, kind: str, command: str
) -> None:
    parts, advice = REFUSED[kind]
    url = make_dsn(guarded_roles, **parts)

    ended = errand(command, DATABASE_URL=url, ERRAND_PORT="0")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: The database refuses the connection: ")
    assert advice in ended.stderr
    assert "wrong" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_password_on_the_command_line_is_warned_of() -> None:
    url = "postgresql://alice:SECRET@127.0.0.1:1/db"

    shown = errand("migrate", "--database-url", url)
    hidden = errand("migrate", DATABASE_URL=url)

    assert "can see the password on the command line: set DATABASE_URL" in shown.stderr
    assert "password" not in hidden.stderr
    assert "SECRET" not in shown.stderr + hidden.stderr


def test_a_connection_to_another_machine_without_tls_is_warned_of() -> None:
    ended = errand("migrate", DATABASE_URL="postgresql://alice@db.invalid/db")

    assert "to db.invalid may go without encryption: add sslmode=verify-full" in ended.stderr


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql:///db", []),
        ("postgresql://localhost/db", []),
        ("postgresql://127.0.0.1/db", []),
        ("postgresql://[::1]/db", []),
        ("postgresql:///db?host=/run/postgresql", []),
        ("postgresql://10.0.0.1/db", ["10.0.0.1"]),
        ("postgresql://a.example,localhost,b.example/db", ["a.example", "b.example"]),
        ("postgresql://a.example/db?sslmode=prefer", ["a.example"]),
        ("postgresql://a.example/db?sslmode=require", []),
        ("host=a.example sslmode=verify-full", []),
    ],
)
def test_hosts_without_tls_are_those_of_other_machines(url: str, hosts: list[str]) -> None:
    assert hosts_without_tls(url) == hosts


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    completion = errand(_ERRAND_COMPLETE=f"{shell}_source").stdout

    assert f"_ERRAND_COMPLETE={shell}_complete" in completion
    assert f"_ERRAND_COMPLETE={shell}_source" in OPERATIONS.read_text()
