"""Files kept on the controller: private, and never more than the last ten of a kind."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import TextIOWrapper

LAST = 10


def folder() -> Path:
    """Where they are: XDG_STATE_HOME (XDG Base Directory Specification, 0.8), ~/.local/state.

    Raises OSError when the user has no home directory.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path("~/.local/state").expanduser()
        except RuntimeError as error:
            raise FileNotFoundError(str(error)) from error
    return state / "sparkctl"


def create(name: str) -> TextIOWrapper:
    """Open a new file, 0600, and remove the oldest of its kind: those with the same suffixes.

    A file that another process has open by this function stays. Raises OSError.
    """
    where = folder()
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(where / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    file = os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace")
    with suppress(OSError):  # a file system without locks
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _prune(name)
    return file


def rename(name: str, new: str) -> None:
    """Give a file another name, of another kind, and remove the oldest of that. Raises OSError."""
    (folder() / name).rename(folder() / new)
    _prune(new)


def _prune(name: str) -> None:
    """Remove the oldest files of this one's kind."""
    where, kind = folder(), "".join(Path(name).suffixes)
    for old in sorted(where.glob(f"*{kind}"), key=_modified)[:-LAST]:
        if not _in_use(old):
            with suppress(OSError):  # another run removed it
                old.unlink()


def write(name: str, text: str) -> Path:
    """Write a file as `create` makes it, in place of one of that name; gives its path.

    Raises OSError.
    """
    path = folder() / name
    path.unlink(missing_ok=True)
    with create(name) as file:
        file.write(text)
    return path


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed by another run
        return 0.0


def _in_use(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
