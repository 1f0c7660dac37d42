"""The lab's processes, found by the mark in their environment."""

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
    """The living processes of the lab in `base`, those that carry its mark."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(MARK) == str(base)
        except (psutil.Error, OSError):
            continue
        if marked and process.pid != os.getpid():
            found.append(process)
    return found


def inits(nodes: list[NodeSpec]) -> dict[str, int]:
    """The pid of each running node's first process, by the node's name."""
    found = {}
    spaces = ((Path("/run/netns", n.netns), n.name) for n in nodes)
    names = {path.stat().st_ino: name for path, name in spaces if path.exists()}
    for process in processes(nodes[0].base):
        try:
            inside = Path(f"/proc/{process.pid}/status").read_text().partition("NSpid:")[2]
            name = names.get(Path(f"/proc/{process.pid}/ns/net").stat().st_ino)
        except OSError:
            continue
        # Its pids from the outermost to the innermost namespace: the last is 1, here it is another.
        pids = inside.splitlines()[0].split() if inside else []
        if name and len(pids) > 1 and pids[-1] == "1":
            found[name] = process.pid
    return found


def end(find: Callable[[], list[psutil.Process]]) -> int:
    """Kill the processes of the lab that `find` gives, until it gives none; gives their number.

    A node's first process takes all others of its pid namespace with it, marked or not. Raises
    SparkctlError when one does not end.
    """
    count, deadline = 0, time.monotonic() + GRACE
    while running := find():
        count += len(running)
        for process in running:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        while left := [p for p in running if _runs(p)]:
            if time.monotonic() > deadline:
                raise SparkctlError(
                    f"processes of the lab do not end: {', '.join(str(p.pid) for p in left)}",
                    hint="`ps -o pid,stat,wchan,args` says what they wait for, and dmesg why",
                )
            time.sleep(0.02)  # between looks; the deadline ends it
    return count


def _runs(process: psutil.Process) -> bool:
    """A zombie does not: whoever made the lab, perhaps another process, may be slow to reap it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
