"""What our running processes really have: their environment, and the NCCL that they loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sparkctl.node import processes, settings

LIBRARIES = re.compile(r"/\S*lib(?:nccl|ibverbs)[^/\s]*\.so[.\d]*")
RANK = re.compile(r"RayWorkerProc|VLLM::(?:Worker|EngineCore)|vllm serve")


def details(process: processes.Process) -> dict[str, Any]:
    """`environment`: what of the fabric's settings it was started with (a change inside the
    process does not show, see proc(5)); `libraries`: the libnccl and libibverbs files it maps.
    """
    return {
        "environment": settings.watched(processes.environment(process.pid)),
        "libraries": _libraries(process.pid) if RANK.search(process.command) else [],
    }


def _libraries(pid: int) -> list[str]:
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError:
        return []
    return sorted(set(LIBRARIES.findall(maps)))


def foreign_rays(cluster: str, table: list[processes.Process]) -> list[dict[str, Any]]:
    """Raylets and GCS servers that are not this cluster's: pid, uid, command, cluster."""
    return [
        {"pid": p.pid, "uid": p.uid, "command": p.command, "cluster": p.cluster}
        for p in table
        if p.cluster != cluster
        and p.state not in "ZX"
        and p.command.split(" ")[0].endswith(("/raylet", "/gcs_server"))
    ]
