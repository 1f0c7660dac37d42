"""NCCL's warnings that name no cause: which are harmless, and what others mean; pure.

NCCL 2.8 to 2.30.7: src/misc/socket.cc, src/transport/net_ib; event names: libibverbs' enum.c.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.advice import ALL_LOGS, LIST_STATES, PEER_DIED, Advice
from sparkctl.fabric.nccllog.model import Candidate, Evidence, Fix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHER = "warning"  # the mark of warnings without a known meaning

# Pattern, and why it is no fault.
BENIGN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"async event ?: (?:port active|LID change|P_Key|SM change|client reregistration"
            r"|GID table change|send queue drained|last WQE reached|SRQ limit reached"
            r"|path migrated|communication established)|GID table changed",
            "a port came up or an address was added; connections are kept",
        ),
        (r"\bretrying\b", "NCCL retries, and warns again when it gives up"),
        (
            r"Call to ibv_open_device failed|NET/IB : Unable to open device"
            r"|(?:Failed to|Count not|Could not) open libibverbs",
            "they have marks of their own (rank.py)",
        ),
        (
            r"NET/?Plugin ?: ?(?:Failed to find|could not find)",
            "the plugin lacks that symbol; NCCL tries the next interface, then its own IB",
        ),
        (
            r"Could not find real path of",
            "an RDMA device without a PCI device, such as rxe; NCCL guesses its distance alone",
        ),
    )
)


# Warnings with one meaning; its code is the mark that keeps their lines.
KINDS = (
    (
        re.compile(r"[Cc]onnection (?:closed by (?:remote )?peer|reset by peer)"),
        Advice(
            "peer-died",
            "NCCL lost the connection to a peer, which exited or died",
            Fix(f"{ALL_LOGS}; the rank that ended first shows why"),
            (PEER_DIED,),
        ),
    ),
    (
        re.compile(r"async event ?: (?:port error|local catastrophic error)|async fatal event"),
        Advice(
            "port-error",
            "an RDMA device or its port failed while NCCL used it",
            Fix(
                "check the cable, the link state, and the kernel's log for mlx5",
                (LIST_STATES, "sudo dmesg | grep -i mlx5"),
            ),
            (Candidate("port-down", f"`{LIST_STATES}`: a port is not ACTIVE, or was not"),),
        ),
    ),
    (
        re.compile(r"out of memory"),
        Advice(
            "gpu-memory",
            "CUDA ran out of memory",
            Fix(
                "lower {key}.arguments gpu-memory-utilization, and stop other programs that use"
                " memory",
                ("free -h", "nvidia-smi"),
            ),
        ),
    ),
)
WARNED = Advice(
    OTHER,
    "NCCL printed a warning that may break the run",
    Fix(f"read that line, and what the other ranks logged at that time; {ALL_LOGS}"),
)
MARKS = (*(advice.code for _, advice in KINDS), OTHER)


def mark(message: str) -> str | None:
    """The mark under which to keep a warning; None for a harmless one."""
    if any(pattern.search(message) for pattern, _ in BENIGN):
        return None
    return next((advice.code for pattern, advice in KINDS if pattern.search(message)), OTHER)


def lines(marks: Mapping[str, Sequence[Evidence]]) -> list[Evidence]:
    """The kept warnings, those with a known meaning first."""
    return [line for name in MARKS for line in marks.get(name, ())]


def meaning(marks: Mapping[str, Sequence[Evidence]]) -> Advice | None:
    """What the kept warnings mean; None if there are none."""
    known = next((advice for _, advice in KINDS if advice.code in marks), None)
    return known or (WARNED if OTHER in marks else None)
