"""The file that a page is written to: a new one, or an older page, and nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from sparkctl.errors import UsageError

# How a page begins, with the mark that shows whose it is.
BEGINNING = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="generator" content="sparkctl doctor">'
)
# The same before pages had the mark.
UNMARKED = '<!doctype html><html lang="en"><meta charset="utf-8"><title>sparkctl doctor: '
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_target(path: Path) -> None:
    """Raise UsageError unless a page may be written to `path`: there is nothing, or a page of ours.

    A link counts as what it leads to.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe has no end
    except FileNotFoundError:
        _check_absent(path)
        return
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror})") from error
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind != stat.S_IFREG:
            raise _refused(path, f"it is {KINDS.get(kind, 'no regular file')}")
        begins = os.read(descriptor, len(BEGINNING))
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if not begins.startswith((BEGINNING.encode(), UNMARKED.encode())):
        raise _refused(path, "the file exists and is no report of sparkctl doctor")


def _check_absent(path: Path) -> None:
    if path.is_symlink():
        raise _refused(path, "it is a link to a file that does not exist")
    if not path.parent.is_dir():
        raise _refused(path, f"there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _refused(path, f"{path.parent} is not writable")


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(
        f"--report cannot write to {path}: {why}",
        hint="name a new file, or an older report to replace",
    )


def write_page(path: Path, text: str) -> None:
    """Write a page that begins with BEGINNING to `path`, 0600, in place of an older page.

    A link stays, and what it leads to is replaced. Raises OSError, and UsageError where something
    else came to be at `path` meanwhile.
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
