"""The transport of a process, and the cause of a wrong one; pure.

The proof is in the channel lines, then in `Using network`; a Using line alone shows only what NCCL
opened (NCCL 2.8 to 2.30.7).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import hca, warnings

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.errors import Fault
    from sparkctl.fabric.nccllog.model import Cause, Transport
    from sparkctl.fabric.nccllog.rank import RankState

# The first that applies is a rank's cause: what ends a start comes before what a lost peer shows.
FAULTS: tuple[Cause, ...] = (
    "ifname-no-match",
    "net-ib-unavailable",
    "mixed-transports",
    "ring-without-diagonal",
    "gid-empty-slot",
    "gid-family-mismatch",
    "no-route",
    "peer-timeout",
    "memory-registration",
    "retry-exceeded",
)
# Later versions do not try IB at all under NCCL_NET=Socket.
LAST_TO_TRY_ALL = (2, 28, 3)
RDMA_NETWORK = re.compile(r"IB(?:ext)?(?:_v[0-9]+)?$|.*\bRDMA\b")


def network_kind(name: str) -> Transport:
    """The transport under a network of that name; unknown for another plugin's network."""
    if RDMA_NETWORK.match(name):
        return "rdma"
    return "socket" if name.lower().endswith("socket") else "unknown"


def network(state: RankState) -> Transport:
    """The transport that the process chose: rdma, socket, local or unknown.

    Of several communicators the slowest counts.
    """
    carrying = {network_kind(name) for name, _ in state.channels}
    if not carrying and state.nodes <= 1 and (state.local or state.nodes == 1):
        return "local"
    kinds = carrying or {network_kind(name) for name in _networks(state)}
    order: tuple[Transport, ...] = ("socket", "unknown", "rdma")
    return next((kind for kind in order if kind in kinds), "unknown")


def _networks(state: RankState) -> list[str]:
    """The networks that the process names, but for those of torn lines: `I` or `IB to` of IB."""
    return [
        name
        for name in state.networks
        if not any(
            name.startswith(f"{other} ")
            or (other != name and other.startswith(name) and other[len(name)] != " ")
            for other in state.networks
        )
    ]


def broken(state: RankState) -> dict[str, Fault]:
    """The faults that remain at the end of the log, by cause."""
    if state.retrying is None:
        return state.faults
    return {**state.faults, state.retrying.cause: state.retrying}


def transport(state: RankState) -> Transport:
    """The transport of the process; failed if its network failed."""
    if any(fault.fatal for fault in broken(state).values()):
        return "failed"
    return network(state)


def cause(state: RankState) -> Cause | None:
    """Why the process does not run over RDMA as it should; None if nothing is wrong."""
    faults = broken(state)
    for name in FAULTS:
        if name in faults:
            return _required(state, faults[name]) if name == "net-ib-unavailable" else name
    kind = network(state)
    if kind == "socket":
        return not_rdma(state)
    if "denied" in state.marks and kind != "local":
        return "device-open-denied"
    if "unknown" in faults:
        return "unknown"
    if kind == "unknown":
        return "plugin-only" if state.networks or state.channels else "unknown"
    return "unknown" if warnings.meaning(state.marks) else None


def not_rdma(state: RankState) -> Cause:
    """Why NCCL did not use IB, by the lines before the fallback; unknown if none shows it."""
    marks = state.marks
    if disabled(state):
        return "ib-disabled"
    if state.devices or network_kind(state.settings.get("NCCL_NET", "")) == "socket":
        return "net-forced-socket"
    if "denied" in marks:
        return "device-open-denied"
    if "no-libibverbs" in marks:
        return "libibverbs-missing"
    if "no-device" in marks:
        return "hca-filter-no-match" if filtered(state) else "no-device"
    if "ib" in marks:
        return "unknown"
    if "ib-failed" in marks:
        return "ib-disabled"
    if skipped_ib(state):
        return "net-forced-socket"
    return "unknown"


def disabled(state: RankState) -> bool:
    """Whether NCCL_IB_DISABLE is on; NCCL prints the number that it reads, with a full stop."""
    value = state.settings.get("NCCL_IB_DISABLE", "").rstrip(". ")
    return re.fullmatch(r"[-+]?[0-9]+", value) is not None and int(value[:20]) != 0


def filtered(state: RankState) -> bool:
    """Whether NCCL_IB_HCA excludes any device."""
    return hca.filters(state.settings.get("NCCL_IB_HCA", ""), state.release)


def skipped_ib(state: RankState) -> bool:
    """Whether the log shows the start of the network, and NCCL did not try IB in it.

    NCCL prints its bootstrap first: without that line the log is cut, or NCCL_DEBUG is WARN.
    """
    return (
        (state.release or (0,)) > LAST_TO_TRY_ALL
        and "bootstrap" in state.marks
        and "ib" not in state.marks
        and "ib-failed" not in state.marks
        and bool(state.networks or "net-ib-unavailable" in state.marks)
    )


def _required(state: RankState, fault: Fault) -> Cause:
    """Which network NCCL_NET requires in vain: IB, or a plugin's."""
    if fault.network and network_kind(fault.network) != "rdma":
        return "plugin-only"
    plugin = skipped_ib(state) and not disabled(state)
    return "plugin-only" if plugin else "net-ib-unavailable"


def carried(state: RankState) -> dict[str, int]:
    """The number of channel lines of each device (RDMA device or interface) of the process.

    An RDMA device that NCCL opened and does not use has 0. An index whose name the log does not
    show is named as in the log, such as IB/4.
    """
    counts = {name: 0 for name in opened(state)} if network(state) == "rdma" else {}
    for (net, index), channels in state.channels.items():
        table = state.interfaces if network_kind(net) == "socket" else state.devices
        for name in table.get(index, (f"{net}/{index}",)):
            counts[name] = counts.get(name, 0) + channels.count
    return counts


def opened(state: RankState) -> tuple[str, ...]:
    """The RDMA devices that NCCL opened, in its order; of a merged device its members."""
    names = [name for index in sorted(state.devices) for name in state.devices[index]]
    return tuple(dict.fromkeys(names))
