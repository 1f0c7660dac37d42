"""Ending what is ours on a node: processes by pidfd, then files; nothing that is not ours.

No process is chosen by its name, and none is signalled by a pid that another may have taken.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from sparkctl.node import files, sharedmemory
from sparkctl.node.processes import Process, alive, ours

GCS = "gcs_server"
GRACE = 10.0  # seconds to leave on TERM


def stop(request: dict[str, Any]) -> dict[str, Any]:
    """End the marked processes of `cluster` with these `roles` (all when empty).

    TERM first, Ray's GCS after all others; KILL after `grace` seconds, again until none is found: a
    supervisor may have started another meanwhile. With `run`, only what that run started. Shared
    memory that they alone used is removed. Gives `stopped` and, if any is left, `remaining`.
    """
    cluster, roles, run = request["cluster"], request.get("roles"), request.get("run")
    grace = float(request.get("grace", GRACE))
    memory: set[str] = set()
    stopped: dict[tuple[int, int], Process] = {}
    # A raylet takes its leave of the GCS, and waits ten seconds for one that went before it.
    for number, bound, last in (
        (signal.SIGTERM, grace, False),
        (signal.SIGTERM, grace, True),
        (signal.SIGKILL, 5.0, True),
        (signal.SIGKILL, 5.0, True),
    ):
        found = [p for p in ours(cluster, roles, run) if last or _program(p) != GCS]
        memory |= sharedmemory.mapped(found)
        stopped.update({(p.pid, p.started): p for p in found})
        _end(found, number, bound)
    sharedmemory.release(memory)
    return {
        "stopped": [p._asdict() for p in stopped.values()],
        "remaining": [p._asdict() for p in ours(cluster, roles, run)],
    }


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove the state directory and Ray's `temp_dir`; gives the paths that were there.

    Ray's directory is removed only when it is a directory of this user and no link. The shared
    memory that `up` noted goes too: processes that were KILLed by hand have left theirs.
    """
    sharedmemory.release(sharedmemory.noted(request["cluster"]))
    base = Path.home() / ".sparkctl" / request["cluster"]
    removed = []
    for path in (Path(request["temp_dir"]), base):
        if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
            continue
        shutil.rmtree(path)
        removed.append(str(path))
    files.remove_empty(base)
    return {"removed": removed}


def _signal(process: Process, number: int) -> int | None:
    """Signal this very process; gives a pidfd to wait on, None when it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # The pid may have been taken by another process before the fd was opened.
    if not alive(process.pid, process.started):
        os.close(fd)
        return None
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        os.close(fd)
        return None
    return fd


def _end(processes: list[Process], number: int, grace: float) -> None:
    """Signal all of them, and wait until they are gone, `grace` seconds at most.

    On TERM Ray's helpers are not waited for.
    """
    signalled = {p: fd for p in processes if (fd := _signal(p, number)) is not None}
    waiting = {fd for p, fd in signalled.items() if number == signal.SIGKILL or not _helper(p)}
    deadline = time.monotonic() + grace
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(list(waiting), [], [], left)
            waiting.difference_update(ready)
    finally:
        for fd in signalled.values():
            os.close(fd)


def _program(process: Process) -> str:
    return process.command.split(" ")[0].rpartition("/")[2]


def _helper(process: Process) -> bool:
    """A process of Ray that keeps nothing once raylet and GCS are gone.

    The dashboard and the agents take no notice of TERM [run, Ray 2.60].
    """
    return process.role == "ray" and _program(process) not in ("raylet", GCS)
