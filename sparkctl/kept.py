"""Files kept on the controller: private, and never more than the last ten of a kind."""

from __future__ import annotations

import os
from pathlib import Path

LAST = 10


def folder() -> Path:
    """Where they are: XDG_STATE_HOME (XDG Base Directory Specification, 0.8), ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "sparkctl"


def write(name: str, text: str) -> Path:
    """Write a file, 0600, and remove the oldest with the same suffixes; gives its path.

    Raises OSError.
    """
    where = folder()
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = where / name
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    alike = sorted(where.glob(f"*{''.join(path.suffixes)}"), key=lambda p: p.stat().st_mtime)
    for old in alike[:-LAST]:
        old.unlink(missing_ok=True)
    return path
