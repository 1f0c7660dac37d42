"""Ending what is ours on a node: processes by pidfd, then files; nothing that is not ours.

No process is chosen by its name, and none is signalled by a pid that another may have taken.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.node import files, lease, sharedmemory
from sparkctl.node.processes import Process, alive, ours

if TYPE_CHECKING:
    from collections.abc import Callable

GCS = "gcs_server"
GRACE = 10.0  # seconds to leave on TERM
RANK = "RayWorkerProc"  # in a rank's command: it runs under Ray, vLLM 0.22 and later
LOOK = 0.05  # seconds between looks at what is mapped
RANKS = 5.0  # seconds for Ray to end the ranks after vLLM; it takes one (2.60, run)


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

    def look() -> None:
        # Of all that is ours: with vLLM Ray ends the ranks too, which share memory of their own.
        memory.update(sharedmemory.mapped(ours(cluster)))

    # A raylet takes its leave of the GCS, and waits ten seconds for one that went before it.
    for number, bound, last in (
        (signal.SIGTERM, grace, False),
        (signal.SIGTERM, grace, True),
        (signal.SIGKILL, 5.0, True),
        (signal.SIGKILL, 5.0, True),
    ):
        found = [p for p in ours(cluster, roles, run) if last or _program(p) != GCS]
        stopped.update({(p.pid, p.started): p for p in found})
        _end(found, number, bound, look)
    if roles == ["vllm"]:
        _ranks_end(cluster, look)
    sharedmemory.release_or_note(cluster, memory)
    return {
        "stopped": [p._asdict() for p in stopped.values()],
        "remaining": [p._asdict() for p in ours(cluster, roles, run)],
    }


def _ranks_end(cluster: str, look: Callable[[], None]) -> None:
    """Wait until Ray has ended the ranks of a vLLM that is gone.

    In a start that is given up a rank makes its own shared memory even now, and Ray KILLs it.
    """
    deadline = time.monotonic() + RANKS
    while any(RANK in p.command for p in ours(cluster)) and time.monotonic() < deadline:
        look()
        time.sleep(LOOK)


def clear(request: dict[str, Any]) -> dict[str, Any]:
    """End all that is marked, then remove our files: `stopped`, `remaining`, and `removed` as of
    `stop` and `remove`. Where a process remains its files do too.
    """
    ended = stop({**request, "roles": []})
    removed = [] if ended["remaining"] else remove(request)["removed"]
    return {**ended, "removed": removed}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove what is in the state directory, and Ray's `temp_dir`; gives those that were there.

    The lease stays: it goes with the last of them when it is given back. Ray's directory is
    removed only when it is a directory of this user and no link. The shared memory that `up`
    noted goes too: processes that were KILLed by hand have left theirs.
    """
    sharedmemory.release(sharedmemory.noted(request["cluster"]))
    base, temporary = files.home(request["cluster"]), Path(request["temp_dir"])
    removed = []
    if _is_ours(temporary):
        shutil.rmtree(temporary, onerror=_failed)
        removed.append(str(temporary))
    entries = [p for p in base.iterdir() if p.name not in lease.OWN] if _is_ours(base) else []
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_failed)
        else:
            path.unlink()
    files.remove_empty(base)
    return {"removed": [*removed, str(base)] if entries else removed}


def _is_ours(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.getuid()


def _failed(_function: object, path: str, error: Any) -> None:
    """What rmtree could not remove: gone already is well, all else ends the call."""
    if not isinstance(error[1], FileNotFoundError):
        sys.exit(f"cannot remove {path}: {getattr(error[1], 'strerror', None) or error[1]}")


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


def _end(processes: list[Process], number: int, grace: float, look: Callable[[], None]) -> None:
    """Signal all of them, and wait until they are gone, `grace` seconds at most.

    `look` is called before, and while they end. On TERM Ray's helpers are not waited for.
    """
    look()
    signalled = {p: fd for p in processes if (fd := _signal(p, number)) is not None}
    waiting = {fd for p, fd in signalled.items() if number == signal.SIGKILL or not _helper(p)}
    deadline = time.monotonic() + grace
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select(list(waiting), [], [], min(left, LOOK))
            waiting.difference_update(ready)
            look()
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
