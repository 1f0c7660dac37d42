"""What running processes really have: environment, limits, devices, the loaded NCCL."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sparkctl.node import hardware, libnccl, processes, settings, users

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sparkctl.node.wire import Answer

# proc(5): the path is the last field, and marks a file that was removed or replaced since.
# libnccl-net.so and libnccl-tuner.so are plugins and do not match.
LIBRARIES = re.compile(r"(/[^\n]*/libnccl\.so[.\d]*)( \(deleted\))?$", re.M)
MOST = 20  # processes of other accounts in an answer
LOCKED = re.compile(r"^Max locked memory +(\S+)", re.M)


def details(process: processes.Process, watch: Collection[str] = ()) -> Answer:
    """`environment`: the fabric's variables and those named in `watch` at the process's start (a
    change inside the process does not show, see proc(5)), null if unreadable; for a rank also what
    `_rank` returns.
    """
    everything = processes.environment(process.pid)
    # Without the mark it is unreadable: setproctitle writes its title over the environment.
    readable = processes.MARK in everything
    return {
        "environment": settings.watched(everything, watch) if readable else None,
        **(_rank(process.pid) if process.rank else {"libraries": {}}),
    }


def _rank(pid: int) -> Answer:
    """`libraries`: each libnccl file that it maps with its version (null: unknown), null if its
    maps cannot be read; `builds`: of the same files the Build ID (null: they have none) and bytes;
    `memlock`: its limit in bytes, -1 for none; `capabilities`; `uverbs`: the
    devices that it sees, in a container the container's.
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
        **_libraries(folder),
        "memlock": (-1 if limits[1] == "unlimited" else int(limits[1])) if limits else None,
        "capabilities": processes.capabilities(pid),
        "uverbs": uverbs,
    }


def _libraries(folder: Path) -> Answer:
    maps = hardware.text(folder / "maps")
    if maps is None:
        return {"libraries": None, "builds": None}
    # A file that was replaced since is not the one that is loaded.
    read = {
        path: (None, None) if replaced else libnccl.read(folder / f"root{path}")
        for path, replaced in sorted(set(LIBRARIES.findall(maps)))
    }
    return {
        "libraries": {path: version for path, (version, _) in read.items()},
        "builds": {path: build for path, (_, build) in read.items()},
    }


def foreign_rays(cluster: str, table: list[processes.Process]) -> list[Answer]:
    """Raylets and GCS servers of other clusters: pid, uid, command, cluster, also of another
    account's cluster of the same name.
    """
    return [
        {"pid": p.pid, "uid": p.uid, "command": p.command, "cluster": _named(p)}
        for p in table
        if p.cluster != cluster
        and p.state not in "ZX"
        and p.command.split(" ")[0].endswith(("/raylet", "/gcs_server"))
    ]


def others(cluster: str, table: list[processes.Process]) -> list[Answer]:
    """Processes of other accounts whose mark has this cluster's name, MOST of them: uid, user, pid,
    cluster, run. Marks that this account may not read are not among them.
    """
    found: list[Answer] = [
        {
            "uid": p.uid,
            "user": users.name(p.uid),
            "pid": p.pid,
            "cluster": cluster,
            "run": p.claims.partition("/")[2],
        }
        for p in table
        if p.claims.partition("/")[0] == cluster and p.state not in "ZX"
    ]
    return found[:MOST]


def _named(process: processes.Process) -> str:
    return process.cluster or process.claims.partition("/")[0]
