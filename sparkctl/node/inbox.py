"""What a process inside a container has of the GPU, RDMA and limits; runs there (boxlook.py)."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import gpu, processes, verbs

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer

# nvidia-smi's words when the container's cgroup has lost the GPU after its start.
REVOKED = "failed to initialize nvml: unknown error"


def read(_request: Answer) -> Answer:
    """`gpus` of `nvidia-smi -L` (null with `gpu_error` and `gpu_problem`), `devices`: the files
    /dev/nvidia*; `verbs` as node/verbs.py; `memlock` in bytes (-1: no limit), `capabilities`.
    """
    listed = gpu.listed()
    problem = listed.problem
    if problem == "failed" and REVOKED in (listed.error or "").lower():
        problem = "revoked"
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return {
        "gpus": None if listed.error else [", ".join(row) for row in listed.rows],
        "gpu_error": listed.error,
        "gpu_problem": problem,
        "devices": sorted(path.name for path in Path("/dev").glob("nvidia*")),
        "verbs": verbs.verbs(),
        "memlock": -1 if soft == resource.RLIM_INFINITY else soft,
        "capabilities": processes.capabilities(os.getpid()),
    }
