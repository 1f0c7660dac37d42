"""Which processes are ours: found by the mark in their environment, ended by pidfd.

SPARKCTL_CLUSTER=<cluster>/<run id> and SPARKCTL_ROLE are inherited even by daemons. The mark and
the start time are the truth; no pid file is believed, no process is chosen by its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

MARK = "SPARKCTL_CLUSTER"
ROLE = "SPARKCTL_ROLE"
PROC = Path("/proc")


class Process(NamedTuple):
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


def capabilities(pid: int) -> int | None:
    """A process's effective capabilities as bits (proc(5), CapEff); None when they are unread."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in text.splitlines() if line.startswith("CapEff:"))
    return next((int(fields[1], 16) for fields in lines), None)


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
            found[pid] = process._replace(
                cluster=parent.cluster, run=parent.run, role=process.role or parent.role
            )
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
