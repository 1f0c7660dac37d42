"""A TCP connection without TCP's delays: each of them cost a round trip 40 ms (measured).

tcp(7) describes the options; those that only Linux has are set where the system takes them.
"""

from __future__ import annotations

import contextlib
import socket
import sys

DEAD_AFTER = 12  # seconds without acknowledgement of sent data until the connection is lost
# macOS's option for it, in seconds (tcp(4) there); Python has no name for it.
TCP_RXT_CONNDROPTIME = 0x80


class PromptSocket(socket.socket):
    """A socket that acknowledges received data at once.

    sshd leaves Nagle's algorithm on for a session without a terminal: it sends the end of an answer
    only after the data before is acknowledged, which a kernel delays by 40 ms.
    """

    prompt = True  # until the system refuses the option
    bounded = False  # whether the kernel ends it after DEAD_AFTER

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv; sets the option each time, because it lasts for a few packets only."""
        data = super().recv(bufsize, flags)
        if self.prompt:
            self.prompt = _set(self, "TCP_QUICKACK", 1)
        return data


def connect(address: tuple[str, int], timeout: float) -> PromptSocket:
    """A connection to a host and port, by the first of the host's addresses that answers.

    Each has `timeout` seconds. Raises OSError, the last address's.
    """
    host, port = address
    failed = OSError(f"{host} has no address")
    # A name in bytes spares the import of idna, a twentieth of a short command's time.
    name = host.encode("ascii") if host.isascii() else host
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name of the DNS, such as a label of over 63 letters
        raise socket.gaierror(socket.EAI_NONAME, f"not a host name: {error}") from error
    for family, kind, protocol, _, place in found:
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


def _set_options(connection: PromptSocket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Detects a node that lost power, and a network that this computer has left.
    connection.bounded = _set(connection, "TCP_USER_TIMEOUT", DEAD_AFTER * 1000)
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, TCP_RXT_CONNDROPTIME, DEAD_AFTER)


def _set(connection: socket.socket, option: str, value: int) -> bool:
    """Whether the system has this option of TCP: macOS has no such name, WSL 1 may refuse it."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    except (AttributeError, OSError):
        return False
    return True


def is_bounded(connection: object) -> bool:
    """Whether the kernel ends this connection after DEAD_AFTER."""
    return isinstance(connection, PromptSocket) and connection.bounded
