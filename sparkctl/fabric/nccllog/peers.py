"""What only a comparison of ranks shows: mixed transports, half a port; pure."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog.classify import carried, network, opened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.fabric.nccllog.model import Transport
    from sparkctl.fabric.nccllog.rank import RankState

# The DGX Spark's own names: the two halves of cage 0 or 1 (the wiring of a DGX Spark).
HALF = re.compile(r"roce(P2)?p1s0f([01])$")


@dataclass(frozen=True)
class LoneHalf:
    """A process that uses half of a port: the devices in use, and those known to be idle.

    Not `sure` if Ray folded channel lines, or all ranks opened one device whose name does not show
    its half.
    """

    detail: str
    used: tuple[str, ...]
    idle: tuple[str, ...] = ()
    sure: bool = True
    by_channels: bool = False  # the channels show it, not what was opened


def mixed(states: Iterable[RankState]) -> list[RankState]:
    """The ranks of communicators in which one runs on RDMA and another on Socket."""
    found: dict[str, RankState] = {}
    for group in communicators(states):
        kinds = {state.name: network(state) for state in group}
        if {"rdma", "socket"} <= set(kinds.values()):
            found.update({s.name: s for s in group if kinds[s.name] in ("rdma", "socket")})
    return list(found.values())


def communicators(states: Iterable[RankState]) -> Iterator[list[RankState]]:
    """The ranks of each communicator; without a commId, those with equally many ranks."""
    groups: dict[str | int, list[RankState]] = defaultdict(list)
    for state in states:
        for key in state.communicators or (state.size,):
            groups[key].append(state)
    yield from groups.values()


def lone_halves(states: Iterable[RankState]) -> dict[str, LoneHalf]:
    """The processes on RDMA that use only half of a port, by host:pid."""
    found: dict[str, LoneHalf] = {}
    for group in communicators(states):
        most = max((len(opened(state)) for state in group), default=0)
        for state in group:
            if state.name not in found and network(state) == "rdma":
                half = _idle(state) or _alone(state, most) or _one_device(state, group)
                if half:
                    found[state.name] = half
    return found


def _idle(state: RankState) -> LoneHalf | None:
    """By the channel lines: no channel uses a half, and some use the other half of its port."""
    counts = carried(state)
    if set(counts) != set(opened(state)):
        return None  # an index without a name could be any device
    busy, idle = [], []
    for port in _ports(list(counts)):
        used = [name for name in port if counts[name]]
        if 0 < len(used) < len(port):
            busy += used
            idle += [name for name in port if not counts[name]]
    if not idle:
        return None
    detail = f"channels on {', '.join(busy)}, none on {', '.join(idle)}"
    return LoneHalf(detail, tuple(busy), tuple(idle), sure=not state.folded, by_channels=True)


def _ports(names: list[str]) -> list[list[str]]:
    """The devices of each port: a Spark's by their names; two other devices count as one port,
    and more are left out, as the log does not show which belong together.
    """
    ports: dict[str, list[str]] = defaultdict(list)
    others = []
    for name in names:
        if half := HALF.match(name):
            ports[half[2]].append(name)
        else:
            others.append(name)
    return [*ports.values(), *([others] if len(others) == 2 else [])]


def _alone(state: RankState, most: int) -> LoneHalf | None:
    """By the Using line: one device, but a Spark's port has two, or a peer opened more."""
    names = opened(state)
    if len(names) != 1:
        return None
    if half := HALF.match(names[0]):
        other = f"roce{'' if half[1] else 'P2'}p1s0f{half[2]}"
        return LoneHalf(f"opened {names[0]} and not {other}", names, (other,))
    if most > 1:
        return LoneHalf(f"opened only {names[0]}, and a peer opened {most}", names)
    return None


def _one_device(state: RankState, group: Sequence[RankState]) -> LoneHalf | None:
    """One device in every rank on several hosts: the cable may have another half."""
    if state.nodes < 2 and len({peer.host for peer in group}) < 2:
        return None
    if any(len(opened(peer)) != 1 for peer in group):
        return None
    names = opened(state)
    return LoneHalf(f"opened only {names[0]}", names, sure=False)


def overall(states: Iterable[tuple[RankState, Transport]]) -> Transport:
    """The worst transport; unknown of a process without a communicator counts only if alone."""
    kinds = {kind for state, kind in states if state.size or kind != "unknown"}
    order: tuple[Transport, ...] = ("failed", "socket", "unknown", "rdma", "local")
    return next((kind for kind in order if kind in kinds), "unknown")
