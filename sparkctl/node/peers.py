"""What only traffic shows: pings to the peers, TCP connections to their ports."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING

from sparkctl.node import firewalls, pings, routes, verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.node.peerwire import Connect, Connected, Peers, Tried

CONNECT_SECONDS = 2.0
REFUSED = "refused"


def peers(request: Peers) -> Tried:
    """Try all of `pings` and `connects` at once; each is returned with its `error`, null when it
    worked.

    A connection that was `refused` did arrive, and its error is "refused". `routes` has the way to
    each address that a connection did not reach, `firewalls` those of this node. `counters` are
    read at the end, so that they show losses during the pings.
    """
    # The first packet to an address waits for ARP: a connection's, which is sent again if lost.
    opened = [_open(target) for target in request["connects"]]
    sent = pings.begin(request["pings"])
    walls = firewalls.begin()
    problems = _connect(opened)
    connects = [_connected(c, problems[at]) for at, c in enumerate(request["connects"])]
    lost = {c["address"] for c in connects if c["error"] is not None and not c["refused"]}
    return {
        "pings": pings.finish(request["pings"], sent),
        "connects": connects,
        "routes": routes.routes(lost),
        "firewalls": firewalls.finish(walls),
        "counters": verbs.counters({}),
    }


def _open(target: Connect) -> socket.socket | int:
    """A socket that connects, or the errno, 0 for a connection."""
    sock = socket.socket()
    sock.setblocking(False)
    problem = sock.connect_ex((target["address"], target["port"]))
    if problem == errno.EINPROGRESS:
        return sock
    sock.close()
    return problem


def _connect(opened: Sequence[socket.socket | int]) -> list[int | None]:
    """The errno of each, 0 for a connection, None without an answer within CONNECT_SECONDS."""
    problems: list[int | None] = [None if isinstance(one, socket.socket) else one for one in opened]
    waiting = {one: at for at, one in enumerate(opened) if isinstance(one, socket.socket)}
    deadline = time.monotonic() + CONNECT_SECONDS
    while waiting and (left := deadline - time.monotonic()) > 0:
        _, ready, _ = select.select([], list(waiting), [], left)
        for sock in ready:
            problems[waiting.pop(sock)] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            sock.close()
    for sock in waiting:
        sock.close()
    return problems


def _connected(target: Connect, problem: int | None) -> Connected:
    if problem is None:
        error = f"no answer within {CONNECT_SECONDS:g} s"
        return {**target, "error": error, "refused": False, "errno": None}
    refused = problem == errno.ECONNREFUSED
    error = REFUSED if refused else os.strerror(problem)
    name = errno.errorcode.get(problem)
    return {**target, "error": error if problem else None, "refused": refused, "errno": name}
