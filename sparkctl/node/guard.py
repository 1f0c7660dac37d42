"""One caller at a time in the state directory, whatever is at the lock file's path."""

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
    """The lock file's path holds something else than a file of this user: it cannot be locked."""


@contextmanager
def hold(base: Path, name: str) -> Iterator[None]:
    """Hold a flock on the file `name` in this directory, which is made; the file is removed in the
    end, and the directory if nothing else is there. Raises Damaged.
    """
    fd = None
    try:
        fd = _locked(base / name)
        yield
    finally:
        if fd is not None:
            (base / name).unlink(missing_ok=True)  # who waits for it looks again, see _locked
            os.close(fd)
        files.remove_empty(base)


def _locked(path: Path) -> int:
    """A descriptor with a flock, of the file at this path and not of one removed meanwhile."""
    while True:
        try:
            fd = os.open(path, OPEN | os.O_CREAT, 0o600)
        except FileNotFoundError:  # who released it has removed the empty directory meanwhile
            files.made(path.parent)
            continue
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
    """Whether something is there that cannot be opened: a directory, a link, another's file."""
    try:
        os.close(os.open(guard, OPEN))
    except OSError as error:
        # ENOENT: it went just now; a dangling link is ELOOP
        return error.errno not in (*NO_ROOM, errno.ENOENT) and is_there(guard)
    return False


def is_there(path: Path) -> bool:
    """Whether anything is there, even a dangling link. Raises OSError if that is unknown."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove(path: Path) -> None:
    """Remove whatever is there, but not the target of a link."""
    with suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
