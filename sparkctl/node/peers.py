"""What only traffic shows: don't-fragment pings to the peers, TCP connections to their ports."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import Any

from sparkctl.node import verbs
from sparkctl.node.subprocesses import start

PING_SECONDS = 2
CONNECT_SECONDS = 2.0
REFUSED = "refused"


def peers(request: dict[str, Any]) -> dict[str, Any]:
    """All of `pings` (interface, address, size in bytes of payload) and `connects` (address,
    port), at once. Gives them back with `error`: null when it worked; a ping that could not even
    be sent has the reason as its `problem`.

    A connection that is refused has arrived: its error is "refused"; `counters` are read at the
    end, so that loss during the pings shows.
    """
    running = [
        (ping, start(["ping", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", "-w",
                      str(PING_SECONDS), "-M", "do", "-s", str(ping["size"]),
                      "-I", ping["interface"], ping["address"]]))
        for ping in request["pings"]
    ]  # fmt: skip
    connects = _connect(request["connects"])
    pings = [
        {**ping, "error": program.finish(PING_SECONDS + 3)[1], "problem": program.problem}
        for ping, program in running
    ]
    return {"pings": pings, "connects": connects, "counters": verbs.counters({})}


def _connect(wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [{**target, "error": f"no answer within {CONNECT_SECONDS:g} s"} for target in wanted]
    waiting: dict[socket.socket, dict[str, Any]] = {}
    for target in found:
        sock = socket.socket()
        sock.setblocking(False)
        problem = sock.connect_ex((target["address"], target["port"]))
        if problem in (0, errno.EINPROGRESS):
            waiting[sock] = target
        else:
            target["error"] = _name(problem)
            sock.close()
    deadline = time.monotonic() + CONNECT_SECONDS
    while waiting and (left := deadline - time.monotonic()) > 0:
        _, ready, _ = select.select([], list(waiting), [], left)
        for sock in ready:
            problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            waiting.pop(sock)["error"] = _name(problem) if problem else None
            sock.close()
    for sock in waiting:
        sock.close()
    return found


def _name(problem: int) -> str:
    return REFUSED if problem == errno.ECONNREFUSED else os.strerror(problem)
