"""Stopping a cluster on a node: its processes, then its files, and nothing else.

No process is chosen by its name, and each is signalled by pidfd: another may have taken its pid.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, lease, sharedmemory
from sparkctl.node.processes import Process, alive, ours

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkctl.node.wire import Answer, Clear, Remove, Stop

GCS = "gcs_server"
GRACE = 10.0  # seconds to end on TERM
LOOK = 0.05  # seconds between looks at what is mapped
RANKS = 5.0  # seconds for Ray to end the ranks after vLLM; it takes one (2.60, run)


def stop(request: Stop) -> dict[str, list[dict[str, int | str]]]:
    """End the marked processes of `cluster` with these `roles` (all when empty).

    TERM first, Ray's GCS last; KILL after `grace` seconds, twice, as a supervisor may have started
    another process meanwhile. With `run`, only that run's. Shared memory that they alone used is
    removed. Returns the processes `stopped` and `remaining`.
    """
    cluster, roles, run = request["cluster"], request.get("roles"), request.get("run")
    grace = request.get("grace", GRACE)
    memory: set[str] = set()
    stopped: dict[tuple[int, int], Process] = {}

    def look() -> None:
        # Of all the cluster's processes: Ray ends the ranks with vLLM, and they share memory too.
        memory.update(sharedmemory.mapped(ours(cluster)))

    # A raylet signs off at the GCS, and waits ten seconds for one that is already gone.
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
        "stopped": [p.document() for p in stopped.values()],
        "remaining": [p.document() for p in ours(cluster, roles, run)],
    }


def _ranks_end(cluster: str, look: Callable[[], None]) -> None:
    """Wait until Ray has ended the ranks of a vLLM that is gone.

    After a failed start a rank may still create shared memory until Ray KILLs it.
    """
    deadline = time.monotonic() + RANKS
    while any(p.rank for p in ours(cluster)) and time.monotonic() < deadline:
        look()
        time.sleep(LOOK)


def clear(request: Clear) -> Answer:
    """`stop` all marked processes, then `remove` the cluster's files, unless a process remains;
    returns the answers of both.
    """
    grace = request.get("grace", GRACE)
    ended = stop({"cluster": request["cluster"], "grace": grace})
    removed: Answer = {"removed": []} if ended["remaining"] else remove(request)
    return {**ended, **removed}


def remove(request: Remove) -> Answer:
    """Remove what is in the state directory, and Ray's `temp_dir`; `removed`: those that existed.

    The lease stays until it is released, the journal until all is taken back. A `temp_dir` that is
    a link or another user's stays. The noted shared memory goes too: processes that were KILLed by
    hand leave theirs.
    """
    sharedmemory.release(sharedmemory.noted(request["cluster"]))
    return {"removed": [*remove_folder(Path(request["temp_dir"])), *empty(request["cluster"])]}


def remove_folder(path: Path) -> list[str]:
    """Remove a directory of this user with its content; its path, or nothing for another's."""
    if not _is_ours(path):
        return []
    shutil.rmtree(path, onerror=_failed)
    return [str(path)]


def empty(cluster: str) -> list[str]:
    """Remove what is in the state directory, but for lease and journal; its path, or nothing."""
    base = files.home(cluster)
    entries = [p for p in base.iterdir() if p.name not in lease.OWN] if _is_ours(base) else []
    for path in entries:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onerror=_failed)
        else:
            path.unlink()
    files.remove_empty(base)
    return [str(base)] if entries else []


def _is_ours(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and path.stat().st_uid == os.getuid()


def _failed(_function: object, path: str, raised: tuple[object, BaseException, object]) -> None:
    """End the call for what rmtree could not remove, unless it is already gone."""
    error = raised[1]
    reason = error.strerror if isinstance(error, OSError) else None
    if not isinstance(error, FileNotFoundError):
        sys.exit(f"cannot remove {path}: {reason or error}")


def _signal(process: Process, number: int) -> int | None:
    """Signal this process; returns a pidfd to wait on, None if it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # Another process may have taken the pid before the fd was opened.
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
    """Signal these processes and wait until they are gone, at most `grace` seconds; after TERM not
    for Ray's helpers. `look` is called before and while they end.
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
    """Whether it is a process of Ray that needs no time to end after raylet and GCS.

    The dashboard and the agents ignore TERM [run, Ray 2.60].
    """
    return process.role == "ray" and _program(process) not in ("raylet", GCS)
