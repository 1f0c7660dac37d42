"""What shows only when ranks are laid side by side: mixed transports, half a port; pure."""

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
    """A process that uses less than the port.

    Not `sure` where Ray has folded channel lines, or all ranks opened one device whose name does
    not tell a half.
    """

    detail: str
    sure: bool
    carries: bool  # it is the channels that say so, not what was opened


def mixed(states: Iterable[RankState]) -> list[RankState]:
    """The ranks of communicators in which one runs on RDMA and another on Socket."""
    found: dict[str, RankState] = {}
    for group in communicators(states):
        kinds = {state.name: network(state) for state in group}
        if {"rdma", "socket"} <= set(kinds.values()):
            found.update({s.name: s for s in group if kinds[s.name] in ("rdma", "socket")})
    return list(found.values())


def communicators(states: Iterable[RankState]) -> Iterator[list[RankState]]:
    """Ranks that share a communicator; before NCCL printed commId, those of equally many ranks."""
    groups: dict[object, list[RankState]] = defaultdict(list)
    for state in states:
        keys: set[object] = {*state.communicators} or {state.size}
        for key in keys:
            groups[key].append(state)
    yield from groups.values()


def lone_halves(states: Iterable[RankState]) -> dict[str, LoneHalf]:
    """The processes on RDMA that leave a half of a port idle, by host:pid."""
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
    """By the channel lines: a half that no channel uses, beside one of its port that is used."""
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
    return LoneHalf(detail, sure=not state.folded, carries=True)


def _ports(names: list[str]) -> list[list[str]]:
    """The devices port by port: a Spark's by their names; of others two are taken for one port's,
    of more the log does not tell which belong together.
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
    """By the Using line: one device, where a Spark's port has two or the peers opened more."""
    names = opened(state)
    if len(names) != 1:
        return None
    if half := HALF.match(names[0]):
        other = f"roce{'' if half[1] else 'P2'}p1s0f{half[2]}"
        return LoneHalf(f"opened {names[0]} and not {other}", sure=True, carries=False)
    if most > 1:
        detail = f"opened {names[0]} alone, a peer opened {most}"
        return LoneHalf(detail, sure=True, carries=False)
    return None


def _one_device(state: RankState, group: Sequence[RankState]) -> LoneHalf | None:
    """One device in every rank over several hosts: both halves could be behind the cable."""
    if state.nodes < 2 and len({peer.host for peer in group}) < 2:
        return None
    if any(len(opened(peer)) != 1 for peer in group):
        return None
    return LoneHalf(f"opened {opened(state)[0]} alone", sure=False, carries=False)


def overall(states: Iterable[tuple[RankState, Transport]]) -> Transport:
    """The worst transport of all; what never joined a communicator counts only when alone."""
    kinds = [(state.size > 0, kind) for state, kind in states]
    order: tuple[Transport, ...] = ("failed", "socket", "unknown", "rdma", "local")
    for wanted in order:
        if any(kind == wanted and (joined or wanted != "unknown") for joined, kind in kinds):
            return wanted
    return "unknown"
