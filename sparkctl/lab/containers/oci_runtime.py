#!/usr/bin/env -S python3 -IS
"""What docker and podman of a lab's node run as runc; a program of the standard library alone.

It edits the container's configuration (config.json of the OCI runtime specification) and executes
runc: limits and capabilities become those that this machine has, /sys the node's, and the files of
the lab's own image are mounted.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

RUNC = "runc"
CAP_SYS_RESOURCE = 24  # linux/capability.h
MOUNTS = "etc/sparkctl-lab/mounts"  # in an image: the folders of the node that it consists of
GPU_HOOK = "nvidia-container-runtime-hook"  # docker adds it for --gpus
NVIDIA_SMI = "/usr/local/bin/nvidia-smi"
Spec = dict[str, Any]


def clamp(process: Spec) -> None:
    """Lower what only CAP_SYS_RESOURCE may raise, and drop it, in a process of the specification.

    Limits become at most this process's hard ones, and no OOM score is negative.
    """
    for limit in process.get("rlimits") or []:
        most = resource.getrlimit(getattr(resource, limit["type"]))[1]
        for name in ("soft", "hard"):
            # Unlimited is 2^64-1 here and -1 there.
            limit[name] = limit[name] if most < 0 else min(limit[name], most)
    for names in (process.get("capabilities") or {}).values():
        if "CAP_SYS_RESOURCE" in names:
            names.remove("CAP_SYS_RESOURCE")
    process["oomScoreAdj"] = max(0, process.get("oomScoreAdj") or 0)


def mount(config: Spec, root: Path) -> None:
    """Mount what the image at `root` names, the node's /sys, and nvidia-smi with a GPU."""
    listed = root / MOUNTS
    paths = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    # First, so that the user's own mounts are above them.
    config["mounts"][:0] = [_bind(path) for path in paths]
    for each in config["mounts"]:
        if each["destination"] == "/sys" and each["type"] == "sysfs":
            each.update(_bind("/sys"))
    hooks = (config.get("hooks") or {}).get("prestart") or []
    if any(Path(hook["path"]).name == GPU_HOOK for hook in hooks):
        config["mounts"].append(_bind(NVIDIA_SMI))


def _bind(path: str) -> Spec:
    return {"destination": path, "type": "bind", "source": path, "options": ["bind", "ro"]}


def _raises_limits() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = status.partition("CapEff:")[2].split(None, 1)[0]
    return bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)


def _value(argv: list[str], *names: str) -> str:
    """The value of an option; "" without it."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in names:
            return value or following
    return ""


def edit(argv: list[str]) -> None:
    """Edit the file that this command line of runc names, if it is one that starts a process."""
    if "create" in argv or "run" in argv:
        bundle = Path(_value(argv, "--bundle", "-b") or ".")
        path = bundle / "config.json"
        config: Spec = json.loads(path.read_text(encoding="utf-8"))
        process = config["process"]
        mount(config, bundle / config["root"]["path"])
    elif "exec" in argv and (named := _value(argv, "--process", "-p")):
        path = Path(named)
        config = process = json.loads(path.read_text(encoding="utf-8"))
    else:
        return
    if not _raises_limits():
        clamp(process)
    path.write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    edit(sys.argv[1:])
    os.execvp(RUNC, [RUNC, *sys.argv[1:]])
