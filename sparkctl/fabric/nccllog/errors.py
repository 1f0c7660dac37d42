"""NCCL's messages on a network that failed, and the cause of each; pure.

NCCL 2.8 to 2.30.7: src/misc/ibvwrap.cc, src/misc/socket.cc and src/transport/net_ib.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import Cause

NO_INTERFACE = re.compile(r"no (?:socket |IP )?interface found", re.IGNORECASE)
NO_NETWORK = re.compile(r"Failed to initialize any NET plugin|Error: network (.{1,80}) not found")
# `failed with 22 Invalid argument, on dev …`; older: `failed with error Invalid argument`, and of
# some versions ` errno 22` after it.
MODIFY_QP = re.compile(r"Call to ibv_modify_qp failed with (?:error )?(?:([0-9]{1,9}) )?([^,]*)")
ERRNO = re.compile(r" errno ([0-9]{1,9})\s*$")
GIDS = re.compile(r"local GID (?!index)(\S+?),? remote GID ([^\s,]+)")
# `status=12`, `status=IBV_WC_RETRY_EXC_ERR(12)`; older: `with error 12`.
COMPLETION = re.compile(
    r"Got completion from peer .*?with (?:status=|error )(?:IBV_WC_[A-Z_]+\()?([0-9]{1,9})"
)
RETRY_EXCEEDED = "12"  # IBV_WC_RETRY_EXC_ERR
# Some versions print no reason for ibv_create_qp and ibv_create_cq.
MEMORY = re.compile(
    r"Call to ibv_(?:reg_\w+|create_cq|create_qp) failed"
    r"(?:$|.*Cannot allocate memory|.*errno 12\b)"
)
BAD_ADDRESS = re.compile(r"Call to ibv_reg_\w+ failed.*(?:Bad address|errno 14\b)")  # EFAULT
# enum ncclSocketType: 3 is Socket's data, 4 is IB's (src/include/socket.h); the wording varies.
WRONG_TYPE = re.compile(r"wrong (?:\w+ )?type\D{0,20}(?:3\D{1,20}4|4\D{1,20}3)\b")
# The trace of an error that ncclCommInit or a group call returns; 7 is ncclInProgress.
FATAL = re.compile(r"(?:\S*/)?(?:init|group|enqueue)\.cc:[0-9]+ -> [1-6]\b")

BY_ERRNO: dict[str, Cause] = {
    "22": "gid-family-mismatch",
    "61": "gid-empty-slot",
    "101": "no-route",
    "110": "peer-timeout",
    "113": "no-route",
    "Invalid argument": "gid-family-mismatch",
    "No data available": "gid-empty-slot",
    "Network is unreachable": "no-route",
    "Connection timed out": "peer-timeout",
    "No route to host": "no-route",
}
EMPTY_GID = "::"


@dataclass(frozen=True)
class Fault:
    """A failure of the network: its cause, what the line adds, and whether it ends the run.

    `gids` are the local and the remote one, `network` the one that NCCL_NET requires; a
    `bad_address` is memory that the device cannot reach (EFAULT). A `retried` fault is fatal only
    if no connection follows it.
    """

    cause: Cause
    fatal: bool = True
    retried: bool = False
    gids: tuple[str, str] | None = None
    network: str | None = None
    bad_address: bool = False


def fault(level: str, message: str) -> Fault | None:
    """The failure that a message reports; None for every other message."""
    if level == "WARN":
        return _connection(message, fatal=True) or _start(message)
    if not any(needle in message for needle in ("ibv_", ".cc:", "wrong ")):
        return None
    return _connection(message, fatal=False) or (Fault("unknown") if FATAL.match(message) else None)


def _connection(message: str, *, fatal: bool) -> Fault | None:
    if modify := MODIFY_QP.search(message):
        return _modify_qp(modify, message)
    if WRONG_TYPE.search(message):
        return Fault("mixed-transports")  # 2.30.7 prints it as INFO, and may hang
    if MEMORY.search(message):
        return Fault("memory-registration", fatal=fatal)
    if BAD_ADDRESS.search(message):
        # For its own buffer NCCL ends, which the next line shows; without a user's it continues.
        return Fault("memory-registration", fatal=False, bad_address=True)
    return None


def _start(message: str) -> Fault | None:
    if NO_INTERFACE.search(message):
        return Fault("ifname-no-match")
    if network := NO_NETWORK.search(message):
        return Fault("net-ib-unavailable", network=network[1])
    if completion := COMPLETION.search(message):
        return Fault("retry-exceeded" if completion[1] == RETRY_EXCEEDED else "unknown")
    return None


def _modify_qp(modify: re.Match[str], message: str) -> Fault:
    number, words = modify.groups()
    if errno := ERRNO.search(words):
        number = number or errno[1]
    cause = BY_ERRNO.get(number or words.strip(), "unknown")
    found = GIDS.search(message)
    gids = (found[1], found[2]) if found else None
    if gids and cause == "gid-family-mismatch" and EMPTY_GID in gids:
        cause = "gid-empty-slot"
    return Fault(cause, gids=gids, retried=", retrying " in message)
