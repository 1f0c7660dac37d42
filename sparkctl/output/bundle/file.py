"""The file of a support bundle: new, private, and complete or not there."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 64 * 2**20  # bytes of all texts
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that zip can say, of a clock without a battery
# Of file systems without hard links.
UNLINKED = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES)


def check_new(path: Path) -> None:
    """Raise UsageError where something is at `path`, or no file can be made there."""
    if os.path.lexists(path):
        raise _refused(path, "exists", "it exists")
    if not path.parent.is_dir():
        raise _refused(path, "no-directory", f"missing directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _refused(path, "directory-unwritable", f"{path.parent} is not writable")


def _refused(path: Path, problem: str, why: str) -> UsageError:
    return UsageError(
        f"cannot write the bundle to {path}: {why}",
        hint="name a new file in a folder that you may write to",
        code="bundle-refused",
        data={"path": str(path), "problem": problem},
    )


class Archive:
    """Text files in one folder of a zip file, `MOST` bytes in all."""

    def __init__(self, inner: zipfile.ZipFile, folder: str, now: time.struct_time) -> None:
        self._inner, self._folder, self._now = inner, folder, now
        self._names: set[str] = set()
        self.size = 0

    def add(self, name: str, text: str) -> bool:
        """Write a file; another of its name gets a number. Gives whether there was room."""
        data = text.encode("utf-8", "backslashreplace")
        if self.size + len(data) > MOST:
            return False
        stem, dot, suffix = name.rpartition(".")
        number = 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}{dot}{suffix}"
        self._names.add(name)
        self.size += len(data)
        member = zipfile.ZipInfo(f"{self._folder}/{name}", max(self._now[:6], EARLIEST))
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = 0o600 << 16
        self._inner.writestr(member, data)
        return True


@contextmanager
def archive(path: Path, folder: str, now: float) -> Iterator[Archive]:
    """A new zip file, 0600: at `path` when the block ends well, else nowhere.

    Raises UsageError where another file is there meanwhile, SparkctlError where it cannot be
    written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w") as inner:
                yield Archive(inner, folder, time.gmtime(now))
            _move(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
    except FileExistsError:
        raise _refused(path, "exists", "it exists") from None
    except OSError as error:
        raise SparkctlError(
            f"cannot write the bundle to {path}: {error.strerror or error}",
            hint="make room, or name a file in another folder",
            code="bundle-unwritable",
            data={"path": str(path)},
        ) from error


def _move(temporary: Path, path: Path) -> None:
    """Give the file its name, unless that is taken. Raises FileExistsError."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in UNLINKED:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        temporary.replace(path)
