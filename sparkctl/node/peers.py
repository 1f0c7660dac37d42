"""What only traffic shows: don't-fragment pings to the peers, TCP connections to their ports."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from sparkctl.node import verbs
from sparkctl.node.subprocesses import Started, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.node.wire import Connect, Connected, Peers, Ping, Pinged, Tried

PING_SECONDS = 2
CONNECT_SECONDS = 2.0
REFUSED = "refused"


def peers(request: Peers) -> Tried:
    """Try all of `pings` and `connects` at once; each is returned with its `error`, null when it
    worked.

    A ping has a `problem` too: why it could not be sent, else null. A connection that was `refused`
    did arrive, and its error is "refused". `counters` are read at the end, so that they show
    losses during the pings.
    """
    sent = [(ping, start(_argv(ping))) for ping in request["pings"]]
    connects = _connect(request["connects"])
    pings = [_pinged(ping, program) for ping, program in sent]
    return {"pings": pings, "connects": connects, "counters": verbs.counters({})}


def _argv(ping: Ping) -> list[str]:
    bounds = f"-n -q -c 2 -i 0.2 -W 1 -w {PING_SECONDS} -M do -s {ping['size']}"
    return ["ping", *bounds.split(), "-I", ping["interface"], ping["address"]]


def _pinged(ping: Ping, program: Started) -> Pinged:
    try:
        program.finish(PING_SECONDS + 3)
    except OSError as error:
        problem = str(error) if program.process is error else None
        return {**ping, "error": str(error), "problem": problem}
    return {**ping, "error": None, "problem": None}


def _connect(targets: Sequence[Connect]) -> list[Connected]:
    waiting: dict[socket.socket, int] = {}
    problems: dict[int, int] = {}  # errno by target, 0 for a connection
    for at, target in enumerate(targets):
        sock = socket.socket()
        sock.setblocking(False)
        problem = sock.connect_ex((target["address"], target["port"]))
        if problem in (0, errno.EINPROGRESS):
            waiting[sock] = at
        else:
            problems[at] = problem
            sock.close()
    deadline = time.monotonic() + CONNECT_SECONDS
    while waiting and (left := deadline - time.monotonic()) > 0:
        _, ready, _ = select.select([], list(waiting), [], left)
        for sock in ready:
            problems[waiting.pop(sock)] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            sock.close()
    for sock in waiting:
        sock.close()
    return [_connected(target, problems.get(at)) for at, target in enumerate(targets)]


def _connected(target: Connect, problem: int | None) -> Connected:
    if problem is None:
        return {**target, "error": f"no answer within {CONNECT_SECONDS:g} s", "refused": False}
    refused = problem == errno.ECONNREFUSED
    error = REFUSED if refused else os.strerror(problem)
    return {**target, "error": error if problem else None, "refused": refused}
