"""What a libnccl file is: its version and its build. Nothing of it is run."""

from __future__ import annotations

import mmap
import re
from typing import TYPE_CHECKING

from sparkctl.node import elf

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.node.wire import Answer

# Where the nvidia-nccl packages have it, below site-packages.
IN_PACKAGES = "nvidia/nccl/lib/libnccl.so*"
# `NCCL version 2.28.9+cuda13.0`, VERSION_STRING in NCCL's src/init.cc; among the library's first
# strings, so only 2 MB of its 200 MB are read.
BANNER = b"NCCL version "
VERSION = re.compile(rb"\d+\.\d+\.\d+")


def read(path: Path) -> tuple[str | None, Answer | None]:
    """The version in the strings of the file, null if it has none; `id`, its Build ID in hex (null:
    it has none), and its `bytes`. Both are None if the file cannot be read.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _version(data), {"id": elf.build_id(data), "bytes": len(data)}
    except (OSError, ValueError):  # mmap refuses empty files
        return None, None


def _version(data: mmap.mmap) -> str | None:
    at = data.find(BANNER)
    while at >= 0:
        if found := VERSION.match(data, at + len(BANNER)):
            return found[0].decode()
        at = data.find(BANNER, at + 1)
    return None
