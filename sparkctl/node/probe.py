"""All facts of a node in one round trip, as one JSON object; reads, never changes."""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import (
    belongings,
    checkpoint,
    containers,
    gpu,
    hardware,
    images,
    jsontext,
    kernellog,
    limits,
    listeners,
    marks,
    modelconfig,
    packages,
    persistence,
    processes,
    running,
    settings,
    system,
    users,
    verbs,
)
from sparkctl.node.subprocesses import LONGEST, start
from sparkctl.node.timeout import begin, bounded

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.node.wire import Answer, Json, Probe

# A whole probe stays within the 60 s of its call even when every group hangs.
GROUP_SECONDS, ALL_SECONDS, LEAST_SECONDS = 6.0, 40.0, 1.0
# The engines, an image's first start from a cold disk, and the end of that; all else is read
# meanwhile.
IMAGE_SECONDS = 34.0
# Why a group is unread, by the error that it raises; "failed" for any other.
KINDS = (
    (PermissionError, "denied"),
    (TimeoutError, "timeout"),
    (FileNotFoundError, "absent"),
)


def probe(request: Probe) -> Answer:
    """The facts that planning and checks are made from.

    `request` has cluster, venv, or image, tools and mounts (node/containers.py) with the `reader`
    of the image (node/images.py), model,
    revision and hub (node/modelconfig.py), ports and worker_ports (the first and last; those whose
    owners matter), conf_file (node/settings.py), temp_dir, names (files in the state directory to
    read), lease (the caller's token) and watch (names of variables to show of the cluster's
    processes). A group that cannot be read, or not in time, is left out; `unread` has its reason
    and kind. `time` and `time_end` are this node's
    clock, in seconds.
    """
    begun = time.time()
    gpus, links = gpu.begin(), start(["ip", "-json", "address", "show"])
    boxes, runtime = _boxes(request)
    table = cache(lambda: processes.table(request["cluster"]))
    facts: dict[str, Json] = {
        "hostname": os.uname().nodename,
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "uid": os.getuid(),
        "home": str(Path.home()),
        "time": begun,
        "machine": os.uname().machine,
        "os": _os_name(),
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    groups: dict[str, Callable[[], Json]] = {
        "ib": hardware.rdma_devices,
        "net": lambda: hardware.interfaces(links),
        "memory": hardware.memory,
        "system": system.system,
        "limits": limits.limits,
        "kernel_log": kernellog.kernellog,
        "disk": lambda: system.disks(request["model"]),
        "sudo": system.sudo,
        "verbs": verbs.verbs,
        "counters": lambda: verbs.counters({}),
        "settings": lambda: settings.settings(request["conf_file"]),
        "persistence": persistence.persistence,
        "people": lambda: users.people(p.uid for p in table()),
        "model_config": lambda: _model_config(request),
        "model": lambda: _model(request),
        "ports": lambda: listeners.listeners(_ports(request), table()),
        "ours": lambda: _ours(request, table()),
        "foreign_rays": lambda: running.foreign_rays(request["cluster"], table()),
        "state": lambda: belongings.of(request, table()),
        "gpu": lambda: gpu.gpu(gpus),
        "containers": boxes,
        "runtime": runtime,
    }
    unread: dict[str, dict[str, str]] = {}
    deadline = time.monotonic() + ALL_SECONDS
    for name, read in groups.items():
        left = max(LEAST_SECONDS, deadline - time.monotonic())
        try:
            most = IMAGE_SECONDS if name == "runtime" else GROUP_SECONDS
            facts[name] = bounded(read, min(most, left))
        except Exception as error:  # one unreadable file must not hide all the others
            unread[name] = _unread(error)
    return {**facts, "unread": unread, "time_end": time.time()}


def _unread(error: Exception) -> dict[str, str]:
    """The reason in words, and its kind."""
    kind = next((kind for types, kind in KINDS if isinstance(error, types)), "failed")
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):  # the kind stands for the type
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return {"reason": reason[:LONGEST], "kind": kind}


def _boxes(request: Probe) -> tuple[Callable[[], Answer], Callable[[], Answer]]:
    """Begin to ask the container engines, and to read the image; the functions returned wait."""
    image, tools, reader = request["image"], request["tools"], request["reader"]
    mounts = request["mounts"]
    if not tools or reader is None:
        path = Path(request["venv"]).expanduser()
        return lambda: containers.containers("", ()), lambda: packages.venv(path)
    engines = begin(lambda: containers.containers(image, tools, mounts))

    def inside() -> Answer:
        found = jsontext.table(engines(GROUP_SECONDS)["engines"])
        return images.runtime(image, tools, found, reader, request["cluster"])

    read = begin(inside)
    return lambda: engines(GROUP_SECONDS), lambda: read(IMAGE_SECONDS)


def _ours(request: Probe, table: list[processes.Process]) -> list[Answer]:
    """The cluster's processes, without shims, which lack its environment."""
    boot, tick = processes.boot_time(), os.sysconf("SC_CLK_TCK")
    return [
        {
            **p.document(),
            "since": boot + p.started / tick,
            **running.details(p, request["watch"]),
        }
        for p in table
        if p.cluster == request["cluster"]
        and p.role != marks.LOG
        and p.state not in "ZX"
        and p.pid != os.getpid()
    ]


def _model_config(request: Probe) -> Answer:
    return modelconfig.modelconfig(request["model"], request["revision"], request["hub"])


def _model(request: Probe) -> Answer:
    return checkpoint.checkpoint(request["model"], request["revision"], request["hub"])


def _ports(request: Probe) -> set[int]:
    first, last = request["worker_ports"]
    return {*request["ports"], *range(first, last + 1)}


def _os_name() -> str:
    text = hardware.text(Path("/etc/os-release")) or ""
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.M)
    return match[1] if match else os.uname().sysname
