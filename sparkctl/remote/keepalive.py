"""Detecting a path that is dead without a sign, where TCP cannot: behind a proxy or a jump host."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import paramiko

from sparkctl.remote import tcp

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEPALIVE = 5.0  # seconds of silence before a request
ANSWER = 12.0  # seconds that the other end may take for its answer
# sshd answers every global request, also one that it does not know (RFC 4254, 4).
REQUEST = "keepalive@openssh.com"

log = logging.getLogger(__name__)


class Keepalive:
    """Closes the last of these transports when its other end stops answering, until `close`."""

    def __init__(self, node: str, transports: Sequence[paramiko.Transport]) -> None:
        self._node = node
        self._transport = transports[-1]
        self._over = threading.Event()
        if not _ends_by_itself(transports):
            threading.Thread(target=self._watch, name=f"keepalive {node}", daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._over.set()

    def _watch(self) -> None:
        while self._transport.is_active() and not self._over.wait(KEEPALIVE):
            timer = threading.Timer(ANSWER, self._give_up)
            timer.daemon = True
            timer.start()
            try:
                self._transport.global_request(REQUEST)  # returns when the transport ends, too
            except (paramiko.SSHException, OSError, EOFError):
                return
            finally:
                timer.cancel()

    def _give_up(self) -> None:
        log.debug("%s: no answer to a keepalive for %g s", self._node, ANSWER)
        self._transport.close()


def _ends_by_itself(transports: Sequence[paramiko.Transport]) -> bool:
    """Whether the kernel ends it, because it is one TCP connection with a time-out (tcp.py)."""
    return len(transports) == 1 and tcp.is_bounded(transports[0].sock)
