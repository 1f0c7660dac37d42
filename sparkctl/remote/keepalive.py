"""Detecting a path that is dead without a sign, where TCP cannot: behind a proxy or a jump host."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import paramiko

from sparkctl.remote import tcp

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEPALIVE = 5.0  # seconds between two requests
ANSWER = 12.0  # seconds that the other end may take for its answer
# sshd answers every global request, also one that it does not know (RFC 4254, 4).
REQUEST = "keepalive@openssh.com"

log = logging.getLogger(__name__)


def watch(node: str, transports: Sequence[paramiko.Transport]) -> None:
    """Close the last of these transports when its other end stops answering, as long as it lives.

    In a thread, and only where the kernel does not see to it.
    """
    if not _ends_by_itself(transports):
        threading.Thread(target=_watch, args=(node, transports[-1]), daemon=True).start()


def _watch(node: str, transport: paramiko.Transport) -> None:
    def give_up() -> None:
        log.debug("%s: no answer to a keepalive for %g s", node, ANSWER)
        transport.close()

    while transport.is_active():
        timer = threading.Timer(ANSWER, give_up)
        timer.daemon = True
        timer.start()
        try:
            transport.global_request(REQUEST)  # returns when the transport ends, too
        except (paramiko.SSHException, OSError, EOFError):
            return
        finally:
            timer.cancel()
        transport.join(KEEPALIVE)


def _ends_by_itself(transports: Sequence[paramiko.Transport]) -> bool:
    """Whether the kernel ends it, because it is one TCP connection with a time-out (tcp.py)."""
    return len(transports) == 1 and tcp.is_bounded(transports[0].sock)
