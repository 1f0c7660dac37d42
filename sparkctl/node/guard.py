"""One caller at a time in a directory of ours, whatever came to lie at the lock file's place."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.node import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Damaged(Exception):
    """What is at the lock file's place is no file of ours: nobody can be kept out."""


@contextmanager
def hold(base: Path, name: str) -> Iterator[None]:
    """Keep every other caller out meanwhile, by a flock on the file `name` in this directory, which
    is made; a directory that has nothing else then is removed. Raises Damaged.
    """
    fd = None
    try:
        fd = _locked(base / name)
        yield
    finally:
        if fd is not None:
            if os.listdir(base) == [name]:
                (base / name).unlink()
            os.close(fd)
        files.remove_empty(base)


def _locked(path: Path) -> int:
    """A descriptor of this file with its flock; of the file that is there, not of a removed one."""
    while True:
        try:
            fd = os.open(path, OPEN | os.O_CREAT, 0o600)
        except OSError:
            if damaged(path):
                raise Damaged from None
            raise
        fcntl.flock(fd, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        os.close(fd)


def damaged(guard: Path) -> bool:
    """Whether something is there that cannot be opened as ours: a directory, a link."""
    try:
        os.close(os.open(guard, OPEN))
    except OSError as error:
        return error.errno not in NO_ROOM and is_there(guard)
    return False


def is_there(path: Path) -> bool:
    """Whatever it is, a link without a target too. Raises OSError where that cannot be known."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove(path: Path) -> None:
    """Remove whatever is there; the target of a link stays."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
