"""The kept lines that show a cause, and those that show the transport; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import warnings

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.model import Cause, Evidence
    from sparkctl.fabric.nccllog.rank import RankState

EVIDENCE_LIMIT = 8

# The marks of rank.py that show a cause; a cause that is not here is a mark itself.
CAUSE_MARKS: dict[Cause, tuple[str, ...]] = {
    "ib-disabled": ("NCCL_IB_DISABLE", "ib-failed"),
    "device-open-denied": ("denied",),
    "libibverbs-missing": ("no-libibverbs",),
    "no-device": ("no-device", "NCCL_IB_HCA"),
    "hca-filter-no-match": ("NCCL_IB_HCA", "no-device"),
    "net-forced-socket": ("NCCL_NET", "devices", "socket-initialized"),
    "net-ib-unavailable": (
        "net-ib-unavailable",
        "NCCL_IB_DISABLE",
        "no-libibverbs",
        "denied",
        "NCCL_IB_HCA",
        "no-device",
    ),
    "ifname-no-match": ("ifname-no-match", "NCCL_SOCKET_IFNAME"),
    "gid-empty-slot": ("gid-empty-slot", "NCCL_IB_GID_INDEX"),
    "gid-family-mismatch": ("gid-family-mismatch", "NCCL_IB_GID_INDEX"),
    "plugin-only": ("net-ib-unavailable", "NCCL_NET_PLUGIN"),
    "one-half-only": ("devices", "NCCL_IB_HCA"),
    "unknown": (*warnings.MARKS, "unknown"),
}


def evidence(state: RankState, because: Cause | None) -> tuple[Evidence, ...]:
    """The lines that prove the verdict: the cause's first, then the transport's."""
    marks = CAUSE_MARKS.get(because, (because,)) if because else ()
    lines = [line for mark in marks for line in state.marks.get(mark, [])]
    lines += state.marks.get("devices", [])[:1]
    lines += [channels.first for channels in state.channels.values()]
    lines += [state.local] if state.local else []
    lines += state.networks.values()
    return tuple(dict.fromkeys(lines))[:EVIDENCE_LIMIT]
