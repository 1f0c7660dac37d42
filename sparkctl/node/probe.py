"""All facts of a node in one round trip, as one JSON object; reads, never changes."""

from __future__ import annotations

import os
import pwd
import re
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.node import (
    checkpoint,
    files,
    gpu,
    hardware,
    lease,
    modelconfig,
    persistence,
    processes,
    running,
    settings,
    system,
    users,
    verbs,
)
from sparkctl.node.subprocesses import start
from sparkctl.node.timeout import bounded

if TYPE_CHECKING:
    from collections.abc import Callable

# A whole probe stays within the 60 s of its call even when every group hangs.
GROUP_SECONDS, ALL_SECONDS, LEAST_SECONDS = 6.0, 40.0, 1.0
PYTHON_SECONDS = 3.0  # for `python -V`, which takes a millisecond
LISTEN = "0A"  # the TCP_LISTEN state in /proc/net/tcp, include/net/tcp_states.h


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """The facts that planning and checks are made from.

    `request` has cluster, venv, model, revision and hub (node/modelconfig.py), ports and
    worker_ports (the first and last; those whose owners matter), conf_file (NCCL_CONF_FILE),
    temp_dir, names (our small files to read back), lease (the token of the caller's own) and watch
    (the names of variables to show of our processes). A group that cannot be read, or takes too
    long, is left out, and `unread` says why. `time` and `time_end` are this node's clock, in
    seconds.
    """
    begun = time.time()
    gpus, links = gpu.begin(), start(["ip", "-json", "address", "show"])
    table = cache(processes.table)
    facts: dict[str, Any] = {
        "hostname": os.uname().nodename,
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "uid": os.getuid(),
        "home": str(Path.home()),
        "time": begun,
        "machine": os.uname().machine,
        "os": _os_name(),
        "python": ".".join(map(str, sys.version_info[:3])),
    }
    groups: dict[str, Callable[[], Any]] = {
        "ib": hardware.rdma_devices,
        "net": lambda: hardware.interfaces(links),
        "memory": hardware.memory,
        "system": system.system,
        "disk": lambda: system.disks(request),
        "sudo": system.sudo,
        "verbs": lambda: verbs.verbs(request),
        "counters": lambda: verbs.counters(request),
        "settings": lambda: settings.settings(request),
        "persistence": lambda: persistence.persistence(request),
        "people": lambda: users.people(p.uid for p in table()),
        "runtime": lambda: _runtime(Path(request["venv"]).expanduser()),
        "model_config": lambda: modelconfig.modelconfig(request),
        "model": lambda: checkpoint.checkpoint(request),
        "ports": lambda: _listeners(request, table()),
        "ours": lambda: _ours(request, table()),
        "foreign_rays": lambda: running.foreign_rays(request["cluster"], table()),
        "state": lambda: _state(request),
        "gpu": lambda: gpu.gpu(gpus),
    }
    unread: dict[str, str] = {}
    deadline = time.monotonic() + ALL_SECONDS
    for name, read in groups.items():
        left = max(LEAST_SECONDS, deadline - time.monotonic())
        try:
            facts[name] = bounded(read, min(GROUP_SECONDS, left))
        except Exception as error:  # one unreadable file must not hide all the others
            unread[name] = f"{type(error).__name__}: {error}"
    return {**facts, "unread": unread, "time_end": time.time()}


def _ours(request: dict[str, Any], table: list[processes.Process]) -> list[dict[str, Any]]:
    boot, tick = processes.boot_time(), os.sysconf("SC_CLK_TCK")
    return [
        {**p._asdict(), "since": boot + p.started / tick, **running.details(p, request["watch"])}
        for p in table
        if p.cluster == request["cluster"] and p.state not in "ZX" and p.pid != os.getpid()
    ]


def _state(request: dict[str, Any]) -> dict[str, Any]:
    base = files.home(request["cluster"])
    return {
        "exists": base.is_dir() and not set(os.listdir(base)) <= lease.OWN,
        "path": str(base),
        "lease": lease.held(request["cluster"], but=request.get("lease")),
        "temp_dir": Path(request["temp_dir"]).is_dir(),
        "files": files.read({"cluster": request["cluster"], "names": request["names"]}),
    }


def _os_name() -> str:
    match = re.search(
        r'^PRETTY_NAME="?([^"\n]*)', hardware.text(Path("/etc/os-release")) or "", re.M
    )
    return match[1] if match else os.uname().sysname


def _runtime(venv: Path) -> dict[str, Any]:
    """Versions in the virtual environment, read from its metadata: importing takes seconds."""
    versions: dict[str, str] = {}
    pattern = re.compile(r"^(ray|vllm|torch|nvidia_nccl_cu\d+)-(.+)\.dist-info$")
    for site in venv.glob("lib/python3*/site-packages"):
        for entry in os.listdir(site):
            if match := pattern.match(entry):
                versions[match[1]] = match[2]
    # pyvenv.cfg has the version that made the environment, not the one that runs in it now.
    said, _ = start([str(venv / "bin/python"), "-V"]).finish(PYTHON_SECONDS)
    python = re.match(r"Python ([\d.]+)", said or "")
    return {
        "venv": str(venv),
        "exists": os.access(venv / "bin/python", os.X_OK),
        "python": python[1] if python else None,
        "programs": {n: os.access(venv / "bin" / n, os.X_OK) for n in ("ray", "vllm")},
        "versions": versions,
    }


def _listeners(request: dict[str, Any], table: list[processes.Process]) -> list[dict[str, Any]]:
    """Who listens on these TCP ports: the kernel's list of sockets tells whose they are, the
    owners' descriptors which process has them, where they may be read.
    """
    low, high = request["worker_ports"]
    sockets: dict[str, dict[str, Any]] = {}
    for name in ("tcp", "tcp6"):
        for line in (hardware.text(processes.PROC / "net" / name) or "").splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == LISTEN and (port in request["ports"] or low <= port <= high):
                uid = int(fields[7])  # of who opened it: Documentation/networking/proc_net_tcp.rst
                sockets[f"socket:[{fields[9]}]"] = {
                    "port": port,
                    "uid": uid,
                    "user": users.name(uid),
                }
    found = []
    for process in table if sockets else []:
        try:
            descriptors = os.scandir(processes.PROC / str(process.pid) / "fd")
        except OSError:
            continue
        with descriptors:
            for fd in descriptors:
                try:
                    socket = sockets.pop(os.readlink(fd.path), None)
                except OSError:
                    continue
                if socket:
                    found.append({**process._asdict(), **socket})
    # Another user's socket: the port is taken, its owner's descriptors may not be read.
    unread = [{"pid": None, "command": None, "cluster": "", **s} for s in sockets.values()]
    # One that listens by IPv4 and IPv6 has two sockets.
    return list({(o["port"], o["pid"], o["uid"]): o for o in found + unread}.values())
