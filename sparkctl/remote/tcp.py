"""A TCP connection that waits for no timer of TCP's own: each cost a round trip 40 ms (measured).

tcp(7) describes the options; those that Linux alone has are set where they exist.
"""

from __future__ import annotations

import socket

DEAD_AFTER = 45  # seconds that sent data may stay unacknowledged before the node counts as gone


class PromptSocket(socket.socket):
    """Acknowledges at once what it received.

    sshd leaves Nagle's algorithm on for a session without a terminal: the end of each answer is
    sent only when what came before is acknowledged, which a kernel puts off for 40 ms.
    """

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv; the option lasts for a few packets only, so it is set each time."""
        data = super().recv(bufsize, flags)
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def connect(address: tuple[str, int], timeout: float) -> PromptSocket:
    """A connection to a host and port, within `timeout` seconds. Raises OSError."""
    host, port = address
    # A name in bytes spares the import of idna, a twentieth of a short command's time.
    plain = socket.create_connection((host.encode("ascii"), port), timeout)
    connection = PromptSocket(plain.family, plain.type, plain.proto, plain.detach())
    connection.settimeout(timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # a node that lost power is noticed
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)
    return connection
