"""Files that are trusted: what other users could write to, replace or redirect is refused."""

import os
import shutil
from pathlib import Path

import pytest

from db.private_files import ExposedPath, open_private, read_private, require_private_folder
from openapi.access.key_sources import keys_in_file
from openapi.access.keys import UnusableKeys

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can show this")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_text("content")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_a_file_that_only_its_owner_writes_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)

    assert read_private(file) == b"content"
    assert read_private(file, 3) == b"con"


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_a_file_that_others_can_write_to_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)

    with pytest.raises(ExposedPath, match=f"other users can write to {file}: run `chmod go-w"):
        read_private(file)


def test_a_file_that_others_can_replace_is_refused(file: Path) -> None:
    file.parent.chmod(0o777)

    with pytest.raises(ExposedPath, match=f"all users can write to {file.parent}"):
        read_private(file)


def test_in_a_sticky_folder_others_cannot_replace_a_file(file: Path) -> None:
    file.parent.chmod(0o1777)

    assert read_private(file) == b"content"


@as_root
def test_a_file_or_folder_of_another_user_is_refused(file: Path) -> None:
    shutil.chown(file, "nobody")
    with pytest.raises(ExposedPath, match=f"{file} belongs to another user"):
        read_private(file)

    shutil.chown(file.parent, "nobody")
    with pytest.raises(ExposedPath, match=f"{file.parent} belongs to another user"):
        require_private_folder(file.parent)


def test_a_link_is_resolved_once_and_what_it_leads_to_is_checked(file: Path) -> None:
    """Kubernetes mounts secrets as links."""
    link = file.with_name("link")
    link.symlink_to(file)
    assert read_private(link) == b"content"

    file.chmod(0o666)
    with pytest.raises(ExposedPath):
        read_private(link)


def test_a_link_that_others_can_replace_is_refused(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    link = folder / "link"
    link.symlink_to(file)

    with pytest.raises(ExposedPath, match=f"all users can write to {folder}"):
        read_private(link)


def test_a_named_pipe_is_not_waited_for(file: Path) -> None:
    pipe = file.with_name("pipe")
    os.mkfifo(pipe)

    assert read_private(pipe) == b""


def test_a_file_is_made_for_its_owner_alone_and_no_link_is_followed(file: Path) -> None:
    made, link = file.with_name("made"), file.with_name("link")
    link.symlink_to(file)

    with open_private(made) as opened:
        opened.write(b"x")

    assert made.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="symbolic links"):
        open_private(link)


def test_keys_are_not_taken_from_a_file_that_others_can_write_to(file: Path) -> None:
    file.chmod(0o666)

    with pytest.raises(UnusableKeys, match="other users can write to"):
        keys_in_file(file)
