"""The processes that sparkctl started, found by the mark in their environment.

SPARKCTL_CLUSTER=<cluster>/<run id> and SPARKCTL_ROLE are inherited even by daemons. Mark and start
time identify a process; pid files and names do not count.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node.ranks import ranks

if TYPE_CHECKING:
    from collections.abc import Collection

MARK = "SPARKCTL_CLUSTER"
ROLE = "SPARKCTL_ROLE"
PROC = Path("/proc")


class Process(NamedTuple):
    """One process; `started` is in clock ticks since boot and makes (pid, started) unique.

    `rank`: whether it is one (ranks.py); only `table` sets it.
    """

    pid: int
    ppid: int
    started: int
    state: str
    command: str
    cluster: str
    run: str
    role: str
    uid: int
    rank: bool = False

    def document(self) -> dict[str, int | str]:
        """The process as JSON."""
        return self._asdict()


def boot_time() -> float:
    """When this machine booted, in seconds since the epoch (proc(5), stat, btime)."""
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _stat(pid: int) -> tuple[int, int, str, str] | None:
    """(ppid, start ticks, state, comm); None if the process is gone (proc(5))."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return int(rest[1]), int(rest[19]), rest[0], comm


def environment(pid: int) -> dict[str, str]:
    """A process's environment at its start; empty if it may not be read."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if item)
    return {name: value for name, sep, value in pairs if sep}


def capabilities(pid: int) -> int | None:
    """A process's effective capabilities as bits (proc(5), CapEff); None if unreadable."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in text.splitlines() if line.startswith("CapEff:"))
    return next((int(fields[1], 16) for fields in lines), None)


def table() -> list[Process]:
    """Every process of this pid namespace, with the mark it carries (empty strings if none).

    A process that lost its environment (setproctitle overwrites it) gets the mark of its nearest
    marked ancestor.
    """
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    found = {pid: process for pid in pids if (process := _process(pid))}
    for pid in sorted(found, key=lambda p: found[p].started):
        process, parent = found[pid], found.get(found[pid].ppid)
        if not process.cluster and parent and parent.cluster and process.pid != os.getpid():
            found[pid] = process._replace(
                cluster=parent.cluster, run=parent.run, role=process.role or parent.role
            )
    for pid in ranks(found, arguments):
        found[pid] = found[pid]._replace(rank=True)
    return list(found.values())


def arguments(pid: int) -> list[str]:
    """A process's command line, empty if it is gone or has none."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="replace").rstrip("\0").split("\0") if raw else []


def _process(pid: int) -> Process | None:
    """The process with the mark in its own environment; None if it is gone."""
    stat = _stat(pid)
    if stat is None:
        return None
    ppid, started, state, comm = stat
    folder = PROC / str(pid)
    try:
        argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        uid = folder.stat().st_uid
    except OSError:
        return None
    command = argv.strip()[:400] or comm
    env = environment(pid)
    cluster, _, run = env.get(MARK, "").partition("/")
    return Process(pid, ppid, started, state, command, cluster, run, env.get(ROLE, ""), uid)


def ours(
    cluster: str, roles: Collection[str] | None = None, run: str | None = None
) -> list[Process]:
    """The living processes with this cluster's mark, without zombies and this process itself."""
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
    """The start ticks of a process, 0 if it is gone."""
    stat = _stat(pid)
    return stat[1] if stat else 0


def alive(pid: int, started: int) -> bool:
    """Whether this process, and not a later one with its pid, still runs."""
    stat = _stat(pid)
    return stat is not None and stat[1] == started and stat[2] not in "ZX"
