"""The processes that sparkctl started, found by the mark in their environment.

SPARKCTL_CLUSTER=<cluster>/<run id>, SPARKCTL_ROLE and SPARKCTL_UNIT are inherited even by daemons.
Mark and start time identify a process; names do not count. Whose a process without one is:
marks.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import files, marks, state
from sparkctl.node.ranks import ranks

if TYPE_CHECKING:
    from collections.abc import Collection

MARK = "SPARKCTL_CLUSTER"
ROLE = "SPARKCTL_ROLE"
UNIT = "SPARKCTL_UNIT"
PROC = Path("/proc")
CONTAINER = re.compile("[0-9a-f]{64}")


class Process(NamedTuple):
    """One process; `started` is in clock ticks since boot and makes (pid, started) unique.

    `rank`: whether it is one (ranks.py); only `table` sets it. `unit` is its id (units.py), empty
    if an older sparkctl started it. `claims`: the cluster and run in its mark, if that does not
    count (marks.py). `session`: setsid(2).
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
    unit: str = ""
    session: int = 0
    claims: str = ""

    def document(self) -> dict[str, int | str]:
        """The process as JSON."""
        return {k: v for k, v in self._asdict().items() if k not in ("session", "claims")}


def boot_time() -> float:
    """When this machine booted, in seconds since the epoch (proc(5), stat, btime)."""
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _stat(pid: int) -> tuple[int, int, str, str, int] | None:
    """(ppid, start ticks, state, comm, session); None if the process is gone (proc(5))."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    comm = text[text.index("(") + 1 : text.rindex(")")]
    rest = text[text.rindex(")") + 2 :].split()
    return int(rest[1]), int(rest[19]), rest[0], comm, int(rest[3])


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
    return next((int(field, 16) for field in _status(pid, "CapEff:")), None)


def _status(pid: int, name: str) -> list[str]:
    """The words of a line of /proc/PID/status; none if it is gone."""
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return []
    lines = (line.split()[1:] for line in text.splitlines() if line.startswith(name))
    return next(lines, [])


def table(cluster: str | None = None) -> list[Process]:
    """Every process of this pid namespace, with the mark that counts (empty strings if none).

    With `cluster`, what was recorded of its starts counts too.
    """
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    carried = {pid: process for pid in pids if (process := _process(pid))}
    programs = state.programs(cluster) if cluster else ()
    found = marks.assigned(carried, os.getuid(), programs, os.getpid())
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
    ppid, started, status, comm, session = stat
    folder = PROC / str(pid)
    try:
        argv = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        uid = folder.stat().st_uid
    except OSError:
        return None
    command = argv.strip()[:400] or comm
    env = environment(pid)
    if MARK in env and _in_other_container(pid, env[MARK].partition("/")[0]):
        env = {}
    cluster, _, run = env.get(MARK, "").partition("/")
    role, unit = env.get(ROLE, ""), env.get(UNIT, "")
    return Process(
        pid, ppid, started, status, command, cluster, run, role, uid, unit=unit, session=session
    )


def _in_other_container(pid: int, cluster: str) -> bool:
    """Whether a process with the cluster's mark is in another container than the cluster's: an
    image that was made of that one (docker-commit(1)) keeps its environment.
    """
    found = container(pid)
    if not found or found == container(os.getpid()):
        return False
    path = files.home(cluster) / files.CONTAINER
    try:
        return path.read_text().strip() != found
    except (OSError, ValueError):  # gone with the container; what is left of one goes by its name
        return True


def container(pid: int) -> str:
    """The Id of the innermost container that a process is in, by its cgroup; empty without one.

    docker names a cgroup ID or docker-ID.scope, podman libpod-ID (20.10 and 4.3, run).
    """
    try:
        found = CONTAINER.findall((PROC / str(pid) / "cgroup").read_text())
    except OSError:
        return ""
    return str(found[-1]) if found else ""


def ours(
    cluster: str,
    roles: Collection[str] | None = None,
    run: str | None = None,
    units: Collection[str] | None = None,
) -> list[Process]:
    """The living processes of this cluster, without zombies and this process itself.

    `units` limits them to those units' own, without what keeps their logs.
    """
    return [
        p
        for p in table(cluster)
        if p.cluster == cluster
        and p.pid != os.getpid()
        and p.state not in "ZX"
        and (not roles or p.role in roles)
        and (not run or p.run == run)
        and (units is None or (p.unit in units and p.role != marks.LOG))
    ]


def identity(pid: int) -> int:
    """The start ticks of a process, 0 if it is gone."""
    stat = _stat(pid)
    return stat[1] if stat else 0


def outer(pid: int, started: int) -> int:
    """The pid here of a process that has this one in a container's pid namespace; the same where
    it is gone.

    Its start ticks are the same in both (proc(5)): together they name one process.
    """
    for entry in PROC.iterdir():
        if entry.name.isdigit() and identity(int(entry.name)) == started:
            numbers = _status(int(entry.name), "NSpid:")
            if len(numbers) > 1 and numbers[-1] == str(pid):
                return int(entry.name)
    return pid


def alive(pid: int, started: int) -> bool:
    """Whether this process, and not a later one with its pid, still runs."""
    stat = _stat(pid)
    return stat is not None and stat[1] == started and stat[2] not in "ZX"
