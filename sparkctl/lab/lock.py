"""Locks: one command at a time on a lab, and one at a time on this machine's network."""

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
    """Lock the lab's folder; the kernel unlocks it when this process ends, however it ends.

    With `create` the folder is made (0700). Raises SparkctlError when another command has the lock.
    """
    if create:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _lock(descriptor, folder):
            raise SparkctlError(
                f"another command is using the lab in {folder}",
                hint="try again when it has ended",
                code="lab-busy",
            )
        yield
    finally:
        os.close(descriptor)


@contextmanager
def network_lock() -> Iterator[None]:
    """Wait for the lock on this machine's network, which all labs share, and hold it."""
    descriptor = os.open(NETWORK_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The command that had the lock may have removed the folder that is open here.
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
