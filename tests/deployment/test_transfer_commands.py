"""`errand export`, `import`, `backup` and `restore`."""

import os
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from db.postgres.roles import as_application
from openapi.command_line import main
from tests.support.databases import administration, as_owner, empty_database
from tests.support.feed import lists_of, tasks_of
from tests.support.folders import copied, temporary_folder
from tests.support.forks import Fork
from tests.support.issuer import Issuer
from tests.support.responses import assert_faults
from tests.support.servers import errand, serving, started, url_of
from tests.support.users import User

LINES = ("export.jsonl", "export.csv", "export.ics")


def exported(user: User) -> list[bytes]:
    """The lines of an export, without the time."""
    return user.get(f"/api/{user.id}/export").content.splitlines()[1:]


def succeeds(*arguments: str | Path, **environment: str) -> str:
    """What a command prints that succeeds."""
    ended = errand(*map(str, arguments), **environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def fails(*arguments: str | Path, **environment: str) -> str:
    """The complaint of a command that fails, without a traceback."""
    ended = errand(*map(str, arguments), **environment)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_user_is_exported_and_imported(tmp_path: Path, alice: User) -> None:
    alice.creates("=a", list_id=alice.creates_list().document["id"])
    server = ["--url", str(alice.base_url), "--user", alice.id]
    before = exported(alice)
    for name in LINES:
        succeeds("export", tmp_path / name, *server)
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    alice.delete(f"/api/{alice.id}")

    tried = succeeds("import", tmp_path / "export.jsonl", "--dry-run", *server)
    assert tasks_of(alice) == {}
    done = succeeds("import", tmp_path / "export.jsonl", *server)

    assert (
        done
        == "Lists: 1 created, 0 changed, 0 unchanged.\nTasks: 1 created, 0 changed, 0 unchanged.\n"
    )
    assert tried == done + "Nothing was stored: it was a dry run.\n"
    assert exported(alice) == before
    for name in ("export.csv", "export.jsonl"):
        assert "Tasks: 0 created, 0 changed, 1 unchanged." in succeeds(
            "import", tmp_path / name, *server
        )
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(LINES)
    assert succeeds("export", "-", "--format", "csv", *server).startswith('"id","user_id"')


def test_a_token_names_the_user(tmp_path: Path, guarded_server: str, issuer: Issuer) -> None:
    with User(guarded_server, issuer) as user:
        user.creates("a")
        token = issuer.token(user.id)
        (tmp_path / "token").write_text(f"{token}\n")
        file = tmp_path / "tasks.jsonl"
        flags = [str(file), "--url", guarded_server]

        succeeds("export", *flags, ERRAND_TOKEN=token)
        succeeds("import", *flags, "--token-file", tmp_path / "token")

        kinds = [orjson.loads(line)["kind"] for line in file.read_bytes().splitlines()]
        assert kinds == ["export", "task", "end"]
        assert "token" in fails("export", *flags)


def test_what_is_wrong_is_shown(tmp_path: Path, alice: User) -> None:
    server = ["--url", str(alice.base_url), "--user", alice.id]
    file = tmp_path / "tasks.csv"
    file.write_text("title,completed\n,true\nx,maybe\n")

    complaint = fails("import", file, *server)

    assert "The request has 2 faults." in complaint
    assert "line 2 /title: " in complaint
    assert "line 3 /completed: " in complaint
    assert "--format" in fails("import", Path(__file__), *server)
    assert "http://127.0.0.1:9: " in fails(
        "export", tmp_path / "x.csv", "--url", "http://127.0.0.1:9"
    )
    assert not (tmp_path / "x.csv").exists()
    assert lists_of(alice) == tasks_of(alice) == {}


@pytest.fixture
def own_users(own_database: str) -> Iterator[tuple[User, User]]:
    """Two users of a database whose rows are all written by a server."""
    with serving(DATABASE_URL=own_database) as url, User(url) as one, User(url) as other:
        yield one, other


def test_a_backup_is_restored_into_an_empty_database(
    tmp_path: Path, own_database: str, postgres_url: str, own_users: tuple[User, User]
) -> None:
    alice, bob = own_users
    for user in own_users:
        user.creates(list_id=user.creates_list().document["id"], tags=["x"])
        user.delete(user.creates().url)
    file, new = tmp_path / "errand.backup", empty_database(postgres_url)

    output = succeeds("backup", file, "--no-verify", DATABASE_URL=as_owner(own_database))
    alice.creates("after the backup")
    succeeds("restore", file, DATABASE_URL=new)

    assert output.startswith(f"{file} has ")
    assert file.stat().st_mode & 0o077 == 0
    with serving(DATABASE_URL=as_application(new)) as url, User(url) as copy:
        copy.id = bob.id
        assert exported(copy) == exported(bob)
        copy.id, copy.tasks = alice.id, alice.tasks
        assert len(exported(copy)) == len(exported(alice)) - 1
        assert copy.creates("a new one").document["revision"] > alice.creates().document["revision"]
    before = alice.get(f"/api/{alice.id}/changes").json()["next"]
    with serving(DATABASE_URL=as_application(new)) as url, User(url) as copy:
        response = copy.get(f"/api/{alice.id}/changes", params={"since": before})
        assert_faults(response, "since")
    assert "tables already" in fails("restore", file, DATABASE_URL=new)


def test_a_backup_without_the_rights_for_it_is_refused(tmp_path: Path, own_database: str) -> None:
    file = tmp_path / "errand.backup"

    complaint = fails("backup", file, DATABASE_URL=own_database)

    assert "BYPASSRLS" in complaint
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_is_no_backup_is_refused(tmp_path: Path, postgres_url: str) -> None:
    file = tmp_path / "errand.backup"
    file.write_bytes(b"PGDMP")

    assert "pg_restore failed" in fails("restore", file, DATABASE_URL=empty_database(postgres_url))


def test_a_restoration_that_lacks_a_task_is_noticed(
    tmp_path: Path, own_database: str, postgres_url: str
) -> None:
    with serving(DATABASE_URL=own_database) as url, User(url) as user:
        user.creates()
    with administration(own_database) as execute:
        execute("DELETE FROM tasks")
    file = tmp_path / "errand.backup"
    succeeds("backup", file, "--no-verify", DATABASE_URL=as_owner(own_database))

    complaint = fails("restore", file, DATABASE_URL=empty_database(postgres_url))

    assert "1 of 1 users differ" in complaint


def test_a_terminal_shows_the_progress(tmp_path: Path, alice: User) -> None:
    alice.creates()
    ours, theirs = os.openpty()
    server = ["--url", str(alice.base_url), "--user", alice.id]

    process = Fork(
        main, ("export", str(tmp_path / "x.csv"), *server), environment={}, errors=theirs
    )
    process.communicate(timeout=30)

    assert process.returncode == 0
    assert b"100%" in os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)


@pytest.mark.long
def test_an_embedded_database_is_backed_up_and_verified_while_it_is_served(
    tmp_path: Path, used_once: Path
) -> None:
    file = tmp_path / "errand.backup"
    with temporary_folder() as folder:
        data, new = copied(used_once, folder / "data"), folder / "new"
        process = started("--data-dir", str(data))
        with User(url_of(process)) as user:
            user.creates()
            before = exported(user)
            output = succeeds("backup", file, "--data-dir", data)
        process.terminate()
        process.communicate(timeout=20)
        succeeds("restore", file, "--data-dir", new)
        process = started("--data-dir", str(new))
        with User(url_of(process)) as copy:
            copy.id = user.id
            assert exported(copy) == before
        process.terminate()
        process.communicate(timeout=20)

    assert "all users have the same data" in output
