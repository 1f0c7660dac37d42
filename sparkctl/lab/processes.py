"""The lab's processes, found by the variable MARK in their environment."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from sparkctl.errors import SparkctlError
from sparkctl.lab.spec import MARK, NodeSpec

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 15.0  # seconds for killed processes to be gone; 0.2 s were measured


def processes(base: Path) -> list[psutil.Process]:
    """The running processes whose mark names the lab in `base`."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(base)
        except (psutil.Error, OSError):
            continue
        if marked and process.pid != os.getpid():
            found.append(process)
    return found


def first_pids(nodes: list[NodeSpec]) -> dict[str, int]:
    """The pid of each running node's first process, by the node's name."""
    found = {}
    spaces = ((Path("/run/netns", n.netns), n.name) for n in nodes)
    names = {path.stat().st_ino: name for path, name in spaces if path.exists()}
    for process in processes(nodes[0].base):
        try:
            name = names.get(Path(f"/proc/{process.pid}/ns/net").stat().st_ino)
            if name and _is_first(process.pid):
                found[name] = process.pid
        except OSError:
            continue
    return found


def _is_first(pid: int) -> bool:
    """Whether a process is the first of a pid namespace below this machine's."""
    line = Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].partition("\n")[0]
    _, *inner = line.split() or [""]  # its pids, from the outermost to the innermost namespace
    return inner[-1:] == ["1"]


def kill_all(find: Callable[[], list[psutil.Process]]) -> int:
    """Kill the processes that `find` gives, until it gives none; gives their number.

    A node's first process takes all others of its pid namespace with it, marked or not. Raises
    SparkctlError when one does not end.
    """
    count, deadline = 0, time.monotonic() + GRACE
    while running := find():
        count += len(running)
        for process in running:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        while left := [str(p.pid) for p in running if _is_running(p)]:
            if time.monotonic() > deadline:
                raise SparkctlError(
                    f"the lab's processes still running after SIGKILL: {', '.join(left)}",
                    hint="`ps -o pid,stat,wchan,args` shows what they wait for, dmesg why",
                    code="lab-processes-left",
                    data={"pids": left},
                )
            time.sleep(0.02)
    return count


def _is_running(process: psutil.Process) -> bool:
    """False for a zombie too: its parent, perhaps another process, may be slow to reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
