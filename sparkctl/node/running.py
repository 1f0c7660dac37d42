"""What our running processes really have: environment, limits, devices, the NCCL they loaded."""

from __future__ import annotations

import mmap
import os
import re
from typing import TYPE_CHECKING, Any

from sparkctl.node import hardware, processes, settings

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

# proc(5): the path is the last field, and tells of a file that is no longer what was mapped.
# libnccl-net.so and libnccl-tuner.so are plugins.
LIBRARIES = re.compile(r"(/[^\n]*/libnccl\.so[.\d]*)( \(deleted\))?$", re.M)
RANK = re.compile(r"RayWorkerProc|VLLM::(?:Worker|EngineCore)|vllm serve")
# `NCCL version 2.28.9+cuda13.0`, VERSION_STRING in NCCL's src/init.cc; among the library's first
# strings, so that of its 200 MB two are read.
BANNER = b"NCCL version "
VERSION = re.compile(rb"\d+\.\d+\.\d+")
LOCKED = re.compile(r"^Max locked memory +(\S+)", re.M)


def details(process: processes.Process, watch: Collection[str] = ()) -> dict[str, Any]:
    """`environment`: what of the fabric's settings and of the names in `watch` it was started with
    (a change inside the process does not show, see proc(5)), None when that cannot be read; and
    of a rank what `_rank` gives.
    """
    everything = processes.environment(process.pid)
    # All that is ours has the mark; setproctitle writes its title over the environment.
    readable = processes.MARK in everything
    return {
        "environment": settings.watched(everything, watch) if readable else None,
        **(_rank(process.pid) if RANK.search(process.command) else {"libraries": {}}),
    }


def _rank(pid: int) -> dict[str, Any]:
    """`libraries`: each libnccl file that it maps with its version (None: not to be told), None
    when its maps cannot be read; `memlock`: its limit in bytes, -1 for none; `capabilities`;
    `uverbs`: the devices that it sees, which in a container are the container's.
    """
    folder = processes.PROC / str(pid)
    limits = LOCKED.search(hardware.text(folder / "limits") or "")
    uverbs: list[str] | None = []
    try:
        uverbs = [n for n in sorted(os.listdir(folder / "root/dev/infiniband")) if "uverbs" in n]
    except FileNotFoundError:
        pass
    except OSError:
        uverbs = None
    return {
        "libraries": _libraries(folder),
        "memlock": (-1 if limits[1] == "unlimited" else int(limits[1])) if limits else None,
        "capabilities": processes.capabilities(pid) or 0,
        "uverbs": uverbs,
    }


def _libraries(folder: Path) -> dict[str, str | None] | None:
    maps = hardware.text(folder / "maps")
    if maps is None:
        return None
    # A file that was replaced since is another one than what is loaded.
    return {
        path: None if replaced else _version(folder / f"root{path}")
        for path, replaced in sorted(set(LIBRARIES.findall(maps)))
    }


def _version(path: Path) -> str | None:
    """The version that a libnccl tells of itself, without running it."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(BANNER)
            while at >= 0:
                if found := VERSION.match(data, at + len(BANNER)):
                    return found[0].decode()
                at = data.find(BANNER, at + 1)
    except (OSError, ValueError):  # mmap has no empty files
        pass
    return None


def foreign_rays(cluster: str, table: list[processes.Process]) -> list[dict[str, Any]]:
    """Raylets and GCS servers that are not this cluster's: pid, uid, command, cluster."""
    return [
        {"pid": p.pid, "uid": p.uid, "command": p.command, "cluster": p.cluster}
        for p in table
        if p.cluster != cluster
        and p.state not in "ZX"
        and p.command.split(" ")[0].endswith(("/raylet", "/gcs_server"))
    ]
