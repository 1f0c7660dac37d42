"""Which processes are ours: found by the mark in their environment, ended by pidfd.

SPARKCTL_CLUSTER=<cluster>/<run id> and SPARKCTL_ROLE are inherited even by daemons. The mark and
the start time are the truth; no pid file is believed, no process is chosen by its name.
"""

from __future__ import annotations

import os
import select
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MARK = "SPARKCTL_CLUSTER"
ROLE = "SPARKCTL_ROLE"
PROC = Path("/proc")
GCS = "gcs_server"


@dataclass(frozen=True)
class Process:
    """One process; `started` is in clock ticks since boot and makes (pid, started) unique."""

    pid: int
    ppid: int
    started: int
    state: str
    command: str
    cluster: str
    run: str
    role: str
    uid: int


def boot_time() -> float:
    """When this machine booted, in seconds since the epoch (proc(5), stat, btime)."""
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _stat(pid: int) -> tuple[int, int, str, str] | None:
    """(ppid, start ticks, state, comm); None when the process is gone (proc(5))."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return int(rest[1]), int(rest[19]), rest[0], comm


def environment(pid: int) -> dict[str, str]:
    """A process's environment at its start; empty when it may not be read."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if item)
    return {name: value for name, sep, value in pairs if sep}


def table() -> list[Process]:
    """Every process of this pid namespace, with the mark it carries (empty strings if none).

    A process that lost its environment (setproctitle writes over it) has its nearest marked
    ancestor's mark.
    """
    found: dict[int, Process] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        stat = _stat(pid)
        if stat is None:
            continue
        ppid, started, state, comm = stat
        try:
            argv = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            uid = entry.stat().st_uid
        except OSError:
            continue
        env = environment(pid)
        cluster, _, run = env.get(MARK, "").partition("/")
        found[pid] = Process(
            pid, ppid, started, state, argv.strip()[:400] or comm, cluster, run,
            env.get(ROLE, ""), uid,
        )  # fmt: skip
    for pid in sorted(found, key=lambda p: found[p].started):
        process, parent = found[pid], found.get(found[pid].ppid)
        if not process.cluster and parent and parent.cluster and process.pid != os.getpid():
            found[pid] = Process(
                **{**asdict(process), "cluster": parent.cluster, "run": parent.run,
                   "role": process.role or parent.role}
            )  # fmt: skip
    return list(found.values())


def ours(cluster: str, roles: list[str] | None = None, run: str | None = None) -> list[Process]:
    """The living processes with this cluster's mark, this one and zombies left out."""
    return [
        p
        for p in table()
        if p.cluster == cluster
        and p.pid != os.getpid()
        and p.state not in "ZX"
        and (not roles or p.role in roles)
        and (not run or p.run == run)
    ]


def identity(pid: int) -> int:
    """The start ticks of a process, 0 when it is gone already."""
    stat = _stat(pid)
    return stat[1] if stat else 0


def alive(pid: int, started: int) -> bool:
    """Whether this very process (not a later one with its pid) still runs."""
    stat = _stat(pid)
    return stat is not None and stat[1] == started and stat[2] not in "ZX"


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


def _shared_memory(processes: list[Process]) -> set[str]:
    """The /dev/shm files that these processes map (a KILLed one cannot remove its own)."""
    found: set[str] = set()
    for process in processes:
        try:
            maps = (PROC / str(process.pid) / "maps").read_text(errors="replace")
        except OSError:
            continue
        lines = (line.split(maxsplit=5) for line in maps.splitlines() if "/dev/shm/" in line)
        found.update(f[5] for f in lines if len(f) == 6 and not f[5].endswith("(deleted)"))
    return found


def shared_memory(cluster: str) -> set[str]:
    """The /dev/shm files that this cluster's processes map now."""
    return _shared_memory(ours(cluster))


def release(paths: set[str]) -> None:
    """Remove these /dev/shm files of this user, but for those that a process still maps."""
    for name in paths - _shared_memory(table()):
        path = Path(name)
        if path.parent == Path("/dev/shm") and path.is_file() and path.stat().st_uid == os.getuid():
            path.unlink()


def stop(request: dict[str, Any]) -> dict[str, Any]:
    """End the marked processes of `cluster` with these `roles` (all when empty).

    TERM first, Ray's GCS after all others; KILL after `grace` seconds, again until none is found: a
    supervisor may have started another meanwhile. With `run`, only what that run started. Shared
    memory that they alone used is removed. Gives `stopped` and, if any is left, `remaining`.
    """
    cluster, roles, run = request["cluster"], request.get("roles"), request.get("run")
    grace = float(request.get("grace", 10))
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
        memory |= _shared_memory(found)
        stopped.update({(p.pid, p.started): p for p in found})
        _end(found, number, bound)
    release(memory)
    return {
        "stopped": [asdict(p) for p in stopped.values()],
        "remaining": [asdict(p) for p in ours(cluster, roles, run)],
    }
