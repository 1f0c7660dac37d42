"""NCCL's warnings that name no cause: the harmless ones, and what others mean; pure.

NCCL 2.8 to 2.30.7: src/misc/socket.cc, src/transport/net_ib; event names: libibverbs' enum.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.advice import LIST_STATES, PEER_DIED, Advice
from sparkctl.fabric.nccllog.model import Candidate, Evidence, Fix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OTHER = "warning"  # the mark of those without a meaning of their own

# Pattern, and why it tells of no fault.
BENIGN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"async event ?: (?:port active|LID change|P_Key|SM change|client reregistration"
            r"|GID table change|send queue drained|last WQE reached|SRQ limit reached"
            r"|path migrated|communication established)|GID table changed",
            "a port came up or an address was added; connections stay",
        ),
        (r"\bretrying\b", "NCCL tries again, and says so when it gives up"),
        (
            r"Call to ibv_open_device failed|NET/IB : Unable to open device"
            r"|(?:Failed to|Count not|Could not) open libibverbs",
            "marks of their own (rank.py), told where they matter",
        ),
        (
            r"NET/?Plugin ?: ?(?:Failed to find|could not find)",
            "a plugin without that symbol; NCCL tries the next interface, then its own IB",
        ),
        (
            r"Could not find real path of",
            "an RDMA device without a PCI device, such as rxe: only its distance is guessed",
        ),
    )
)


@dataclass(frozen=True)
class Kind:
    """Warnings with one meaning; `mark` keeps their lines."""

    mark: str
    pattern: re.Pattern[str]
    advice: Advice


KINDS = (
    Kind(
        "peer-died",
        re.compile(r"[Cc]onnection (?:closed by (?:remote )?peer|reset by peer)"),
        Advice(
            "a peer died or left: NCCL lost its connection",
            Fix("read the logs of all ranks, --log for each: the rank that ended first tells why"),
            (PEER_DIED,),
        ),
    ),
    Kind(
        "port-error",
        re.compile(r"async event ?: (?:port error|local catastrophic error)|async fatal event"),
        Advice(
            "an RDMA device or its port failed while NCCL used it",
            Fix(
                "look at the cable and the link, and in the kernel's log for mlx5",
                (LIST_STATES, "sudo dmesg | grep -i mlx5"),
            ),
            (Candidate("port-down", f"`{LIST_STATES}`: a port is not ACTIVE, or was not"),),
        ),
    ),
    Kind(
        "gpu-memory",
        re.compile(r"out of memory"),
        Advice(
            "CUDA had no memory left",
            Fix(
                "lower vllm.arguments gpu-memory-utilization, and end what else takes memory",
                ("free -h", "nvidia-smi"),
            ),
        ),
    ),
)
WARNED = Advice(
    "NCCL warned of what may break the run",
    Fix("read what the line says, and the logs of all ranks at that time, --log for each"),
)


def mark(message: str) -> str | None:
    """The mark under which to keep a warning; None for a harmless one."""
    if any(pattern.search(message) for pattern, _ in BENIGN):
        return None
    return next((kind.mark for kind in KINDS if kind.pattern.search(message)), OTHER)


MARKS = (*(kind.mark for kind in KINDS), OTHER)


def lines(marks: Mapping[str, Sequence[Evidence]]) -> list[Evidence]:
    """The kept warnings, those with a known meaning first."""
    return [line for name in MARKS for line in marks.get(name, ())]


def meaning(marks: Mapping[str, Sequence[Evidence]]) -> Advice | None:
    """What the kept warnings mean; None where there are none."""
    known = next((kind.advice for kind in KINDS if kind.mark in marks), None)
    return known or (WARNED if OTHER in marks else None)
