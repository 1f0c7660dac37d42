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
    """A connection to a host and port, by the first of the host's addresses that answers.

    Each has `timeout` seconds. Raises OSError, the last address's.
    """
    host, port = address
    failed = OSError(f"{host} has no address")
    # A name in bytes spares the import of idna, a twentieth of a short command's time.
    for family, kind, protocol, _, place in socket.getaddrinfo(
        host.encode("ascii"), port, type=socket.SOCK_STREAM
    ):
        connection = PromptSocket(family, kind, protocol)
        try:
            connection.settimeout(timeout)
            connection.connect(place)
        except OSError as error:
            connection.close()
            failed = error
        else:
            _set_options(connection)
            return connection
    raise failed


def _set_options(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # a node that lost power is noticed
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)
