"""One command at a time works on a lab."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORK_LOCK = Path("/run/sparkctl-lab.lock")


@contextmanager
def exclusive(folder: Path, *, create: bool) -> Iterator[None]:
    """Hold the lab's folder; the kernel lets go of it when this process ends, however it ends.

    With `create` the folder is made (0700). Raises SparkctlError when another command has it.
    """
    if create:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _taken(descriptor, folder):
            raise SparkctlError(
                f"another command is at work on the lab in {folder}",
                hint="try again when it is done",
            )
        yield
    finally:
        os.close(descriptor)


@contextmanager
def in_turn() -> Iterator[None]:
    """Wait for what another lab's command does with this machine's network, then hold it off."""
    descriptor = os.open(NETWORK_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed the folder that we opened.
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
