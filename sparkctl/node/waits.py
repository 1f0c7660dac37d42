"""Waiting on a node for what a started program does: that it listens, or that it ends."""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

from sparkctl.node import files, logs, processes, shim, state

if TYPE_CHECKING:
    from sparkctl.node.wire import Address, Answer, Until

INTERVAL = 0.1  # seconds between looks
CONNECT = 1.0  # seconds for a connection to the node's own address
SEEN = 2.0  # seconds for the shim to write how a program ended


def until(request: Until) -> Answer:
    """Wait until the program of `unit` in `run` is there, it has failed, or `timeout` seconds.

    It is there when `listens` (address, port) accepts TCP, if given, and with `ends` it has ended
    with status 0. It has failed when it has ended otherwise. Returns `listens`, `ended`, `status`
    (null while it runs, and if its end was not seen; -N for signal N) and the last lines of its
    log as `tail`.
    """
    program, deadline = _program(request), time.monotonic() + request["timeout"]
    same_boot = program.boot_id == state.boot_id()
    gone_since: float | None = None
    while True:
        now = time.monotonic()
        # First whether it lives: its status is there a moment after its end.
        if not (same_boot and processes.alive(program.pid, program.started)):
            gone_since = gone_since or now
        status = shim.status(logs.exit_path(program.log))
        ended = status is not None or (gone_since is not None and now > gone_since + SEEN)
        done = request["ends"] and status == 0
        listens = _listens(request["listens"])
        reached = listens or request["listens"] is None
        there = reached and (done if request["ends"] else listens)
        if there or (ended and not done) or now >= deadline:
            break
        time.sleep(min(INTERVAL, max(0.0, deadline - now)))
    tail = logs.tail(program.log, program.offset)
    return {"listens": listens, "ended": ended, "status": status, "tail": tail}


def _program(request: Until) -> state.Begun:
    unit, run = request["unit"], request["run"]
    try:
        entry = state.read(request["cluster"])["units"].get(unit, {})
    except files.Newer as error:
        sys.exit(str(error))
    begun = state.begun(entry)
    if begun is None or entry.get("run") != run:
        sys.exit(f"no start of {unit} by the run {run} is recorded")
    return begun


def _listens(at: Address | None) -> bool:
    if at is None:
        return False
    try:
        socket.create_connection((at["address"], at["port"]), CONNECT).close()
    except OSError:
        return False
    return True
