"""Folders that no other user can write to: what they hold may be run, and may be written without harm.

A name in a shared folder such as /tmp can be taken by anybody, as a folder or as a link; so the folder itself, held
open, is looked at, never its name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Untrusted(OSError):
    """Somebody else could have written there; the text says why."""


@contextmanager
def held_folder(
    path: Path, installers: Collection[int] = (), *, make: bool = False, close: bool = False
) -> Iterator[int]:
    """The handle of a folder that is this user's alone (mode 0700), or that one of `installers` (user ids) owns and
    nobody else can write to.

    `make`: a missing one is made, for this user alone; `close`: one of this user's that others can only read is closed
    to them.

    Errors: Untrusted for other folders and for links; other OSErrors where it cannot be opened.
    """
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
    handle = _opened(path)
    try:
        status = os.fstat(handle)
        if close and status.st_uid == os.getuid() and not status.st_mode & _WRITABLE_BY_OTHERS:
            os.fchmod(handle, 0o700)
        reason = _why_not(os.fstat(handle), installers)
        if reason:
            raise Untrusted(0, reason, str(path))
        yield handle
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    if path.is_symlink():
        raise Untrusted(0, "it is a link", str(path))
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _why_not(status: os.stat_result, installers: Collection[int]) -> str:
    own = status.st_uid == os.getuid()
    if own and not status.st_mode & _OPEN_TO_OTHERS:
        return ""
    if status.st_uid in installers:
        return "others than its owner can write to it" if status.st_mode & _WRITABLE_BY_OTHERS else ""
    return "it is open to others; chmod 700 it" if own else f"it belongs to user {status.st_uid}"


def open_trusted(folder: int, name: str, owners: Collection[int]) -> int:
    """The handle of a regular file of a held folder that one of `owners` wrote and nobody else can; Untrusted."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in owners or status.st_mode & _WRITABLE_BY_OTHERS:
        os.close(handle)
        raise Untrusted(0, "not a file that only its owner can write", name)
    return handle


def write_into(folder: int, name: str, content: bytes) -> None:
    """A file of a held folder, complete or not at all; readable by whoever can read the folder."""
    temporary = f"{name}.part{os.getpid()}.{os.urandom(4).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o600 | os.fstat(folder).st_mode & 0o044)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(temporary, dir_fd=folder)
        raise
