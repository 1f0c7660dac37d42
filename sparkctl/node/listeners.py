"""Who listens on a node's TCP ports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node import hardware, processes, users

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sparkctl.node.wire import Answer

LISTEN = "0A"  # the TCP_LISTEN state in /proc/net/tcp, include/net/tcp_states.h


class Socket(NamedTuple):
    """A listening socket; `uid` is that of the process that opened it."""

    port: int
    uid: int


def listeners(ports: Collection[int], table: Iterable[processes.Process]) -> list[Answer]:
    """Who listens on these TCP ports: port, uid, user, pid, command, cluster.

    The kernel lists the sockets with their users; the process is found by its descriptors. Those of
    another user may not be read: pid and command are then null.
    """
    sockets = {name: socket for name, socket in _sockets() if socket.port in ports}
    found: list[Answer] = []
    for process in table if sockets else ():
        for descriptor in _descriptors(process.pid):
            if socket := sockets.pop(descriptor, None):
                found.append({**process.document(), **_owner(socket)})
    unknown = {"pid": None, "command": None, "cluster": ""}
    found += [{**unknown, **_owner(socket)} for socket in sockets.values()]
    # A program that listens by IPv4 and IPv6 has two sockets.
    return list({(o["port"], o["pid"], o["uid"]): o for o in found}.values())


def _sockets() -> Iterator[tuple[str, Socket]]:
    """The listening sockets, each after its name in /proc/PID/fd."""
    for name in ("tcp", "tcp6"):
        for line in (hardware.text(processes.PROC / "net" / name) or "").splitlines()[1:]:
            # Documentation/networking/proc_net_tcp.rst
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            if state == LISTEN:
                yield f"socket:[{inode}]", Socket(int(local.rpartition(":")[2], 16), int(uid))


def _descriptors(pid: int) -> Iterator[str]:
    """What the descriptors of a process lead to; nothing if they may not be read."""
    folder = processes.PROC / str(pid) / "fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")
        except OSError:
            continue


def _owner(socket: Socket) -> Answer:
    return {"port": socket.port, "uid": socket.uid, "user": users.name(socket.uid)}
