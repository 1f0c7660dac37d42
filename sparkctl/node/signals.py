"""Signalling processes by pidfd, as another may have taken a pid, and waiting until they end."""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

from sparkctl.node.processes import Process, alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GCS = "gcs_server"
LOOK = 0.05  # seconds between looks at what is mapped


def end(
    processes: Iterable[Process],
    number: int,
    grace: float,
    look: Callable[[], None],
    *,
    also: Iterable[Process] = (),
) -> None:
    """Signal these processes and wait until they and `also` are gone, at most `grace` seconds;
    after TERM not for Ray's helpers. `look` is called before and while they end.

    What this account may not signal is left, and not waited for. `number` 0 signals nothing.
    """
    look()
    opened = {p: fd for p in processes if (fd := _signal(p, number)) is not None}
    opened.update({p: fd for p in also if p not in opened and (fd := _open(p)) is not None})
    waiting = {fd for p, fd in opened.items() if number != signal.SIGTERM or not _helper(p)}
    deadline = time.monotonic() + grace
    # poll(2): select(2) takes no descriptor above 1023
    poll = select.poll()
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    try:
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll.poll(1000 * min(left, LOOK)):
                poll.unregister(fd)
                waiting.discard(fd)
            look()
    finally:
        for fd in opened.values():
            os.close(fd)


def program(process: Process) -> str:
    """The name of the program that a process runs."""
    return process.command.split(" ")[0].rpartition("/")[2]


def _open(process: Process) -> int | None:
    """A pidfd to wait on; None if the process is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # Another process may have taken the pid before the fd was opened.
    if not alive(process.pid, process.started):
        os.close(fd)
        return None
    return fd


def _signal(process: Process, number: int) -> int | None:
    """Signal this process; returns a pidfd to wait on, None if it is gone or may not be ended."""
    if (fd := _open(process)) is None:
        return None
    try:
        signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        os.close(fd)
        return None
    return fd


def _helper(process: Process) -> bool:
    """Whether it is a process of Ray that needs no time to end after raylet and GCS.

    The dashboard and the agents ignore TERM [run, Ray 2.60].
    """
    return process.role == "ray" and program(process) not in ("raylet", GCS)
