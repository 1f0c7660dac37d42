"""What a process needs besides sysfs to use RDMA: uverbs devices, rdma-core, and its counters."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import portcounters

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

VERBS = Path("/sys/class/infiniband_verbs")
DEVICES = Path("/dev/infiniband")
LIBRARY = "libibverbs.so.1"
# Where rdma-core's providers are: its cmake default and what Debian, Ubuntu and Fedora install.
PROVIDERS = ("/usr/lib/*/libibverbs", "/usr/lib64/libibverbs", "/usr/lib/libibverbs")


def verbs() -> Answer:
    """`uverbs` (RDMA device to its file and the errno's name from opening it, null if it opens),
    `library` (null if libibverbs loads, else why not), `providers` (names such as mlx5).
    """
    return {"uverbs": _uverbs(), "library": _library(), "providers": providers()}


def _uverbs() -> dict[str, dict[str, str | None]]:
    found = {}
    for folder in sorted(VERBS.glob("uverbs*")):
        device = (folder / "ibdev").read_text().strip()
        path = DEVICES / folder.name
        found[device] = {"path": str(path), "error": _open_error(path)}
    return found


def _open_error(path: Path) -> str | None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return None


def _library() -> str | None:
    import ctypes  # takes longer to import than all else here

    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        return str(error)
    return None


def providers() -> list[str]:
    """The names of rdma-core's providers that are installed."""
    files = (p.name for pattern in PROVIDERS for p in Path("/").glob(f"{pattern[1:]}/lib*.so*"))
    return sorted({name[3:].partition("-rdmav")[0].partition(".so")[0] for name in files})


def counters(_: Answer) -> dict[str, dict[str, int]]:
    """Each RDMA device's counters of traffic and of loss, as far as it has them."""
    return portcounters.devices()
