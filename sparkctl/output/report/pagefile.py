"""The file of a page: a new one, or one that holds an older page."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from sparkctl.errors import UsageError

# How a page begins; the generator marks it as one of sparkctl.
BEGINNING = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="generator" content="sparkctl doctor">'
)
# How pages began before they had the mark.
UNMARKED = '<!doctype html><html lang="en"><meta charset="utf-8"><title>sparkctl doctor: '
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_target(path: Path) -> None:
    """Raise UsageError unless `path` is free for a page, or holds an older one.

    Links are followed.
    """
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # opening a pipe would block
    except FileNotFoundError:
        _check_absent(path)
        return
    except OSError as error:
        raise _refused(path, "unreadable", error.strerror) from error
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise _refused(path, "not-a-file", f"it is {KINDS.get(kind, 'not a regular file')}")
        begins = os.read(descriptor, len(BEGINNING))
    except OSError as error:
        raise _refused(path, "unreadable", error.strerror) from error
    finally:
        os.close(descriptor)
    if not begins.startswith((BEGINNING.encode(), UNMARKED.encode())):
        raise _refused(path, "not-a-report", "it exists and is not a report of sparkctl doctor")


def _check_absent(path: Path) -> None:
    if path.is_symlink():
        raise _refused(path, "dangling-link", "it is a link to a missing file")
    if not path.parent.is_dir():
        raise _refused(path, "no-directory", f"missing directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _refused(path, "directory-unwritable", f"{path.parent} is not writable")


def _refused(path: Path, problem: str, why: str | None) -> UsageError:
    return UsageError(
        f"--report cannot write to {path}: {why}",
        hint="name a new file, or an older report to replace",
        code="report-refused",
        data={"path": str(path), "problem": problem},
    )


def write_page(path: Path, text: str) -> None:
    """Write a page that begins with BEGINNING to `path`, 0600, in place of an older page.

    A link stays, and its target is replaced. Raises OSError, and UsageError as `check_target`.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        check_target(path)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
