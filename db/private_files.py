"""Files and folders that this process trusts: no other user may be able to change them."""

import os
import stat
from pathlib import Path
from typing import IO

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class ExposedPath(OSError):
    """Another user could change what is there; the message says how to fix that."""


def require_private_folder(folder: Path) -> None:
    """Refuse a folder that another user can write to or replace."""
    _require_private(folder, folder.stat())
    _require_irreplaceable(folder.resolve())


def open_private(path: Path, *, truncate: bool = False) -> IO[bytes]:
    """Open a file to append to it, made for its owner alone; never through a symbolic link."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags | (os.O_TRUNC if truncate else 0), 0o600), "ab")


def read_private(path: Path, at_most: int = -1) -> bytes:
    """The content of a file that no other user can write to or replace.

    The path is resolved first, because mounted secrets are symbolic links; after the checks no link
    is followed.
    """
    resolved = path.resolve(strict=True)
    for way in (path.absolute(), resolved):
        _require_irreplaceable(way)
    # Without O_NONBLOCK, to open a named pipe would wait for its writer.
    descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        _require_private(path, os.fstat(descriptor))
        return file.read(at_most)


def _require_private(path: Path, status: os.stat_result) -> None:
    """Refuse what belongs to another user, unless it is root, or what others may write to."""
    if status.st_uid not in (0, os.geteuid()):
        raise ExposedPath(
            f"{path} belongs to another user (id {status.st_uid}), who could change it: "
            f"run `chown {os.geteuid()} {path}`, or run Errand as that user"
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise ExposedPath(f"other users can write to {path}: run `chmod go-w {path}`")


def _require_irreplaceable(path: Path) -> None:
    """Refuse a path where all users may rename one of its folders; in a sticky one they may not."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ExposedPath(f"all users can write to {folder}: run `chmod o-w {folder}`")
