"""A finding from one cause and the ranks that show it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import advice
from sparkctl.fabric.nccllog.classify import network, transport
from sparkctl.fabric.nccllog.details import bad_address, candidates, detail, meaning, merged
from sparkctl.fabric.nccllog.evidence import evidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.fabric.nccllog.model import Cause, Evidence, Finding, Severity
    from sparkctl.fabric.nccllog.peers import LoneHalf
    from sparkctl.fabric.nccllog.rank import RankState

    Halves = Mapping[str, LoneHalf]  # by host:pid

EVIDENCE_LIMIT = 6


def finding(because: Cause, states: Sequence[RankState], halves: Halves) -> Finding:
    """The finding on a cause; `states` are the ranks that show it, at least one."""
    known = _advice(because, states, halves)
    details = [detail(because, state, halves.get(state.name)) for state in states]
    if because == "mixed-transports" and len({network(state) for state in states}) == 1:
        details = []  # a socket error shows it, and no log here is of the peer that differs
    texts = dict.fromkeys(found.text for found in details if found.text)
    open_ones = (c for s in states for c in candidates(because, s, halves.get(s.name)))
    return known.finding(
        because,
        _severity(because, states, halves),
        _evidence(because, states),
        detail="; ".join(texts),
        ranks=(state.name for state in states),
        candidates=dict.fromkeys(open_ones),
        data=merged(details),
    )


def _advice(because: Cause, states: Sequence[RankState], halves: Halves) -> advice.Advice:
    """The advice on a cause, or a more precise one by these ranks' lines."""
    match because:
        case "unknown":
            return next(filter(None, map(meaning, states)), advice.ADVICE[because])
        case "memory-registration" if all(map(bad_address, states)):
            return advice.BAD_ADDRESS
        case "one-half-only" if all(_one_device(halves[state.name]) for state in states):
            return advice.ONE_DEVICE
    return advice.ADVICE[because]


def _one_device(half: LoneHalf) -> bool:
    return not half.sure and not half.by_channels


def _severity(because: Cause, states: Sequence[RankState], halves: Halves) -> Severity:
    if because == "one-half-only":
        return "WARN" if any(halves[state.name].sure for state in states) else "INFO"
    kinds = {transport(state) for state in states}
    if because == "mixed-transports" or kinds & {"failed", "socket"}:
        return "FAIL"
    if because == "unknown" and kinds == {"unknown"}:
        return "UNKNOWN"
    return "WARN"


def _evidence(because: Cause, states: Sequence[RankState]) -> list[Evidence]:
    """The same number of lines for each rank, at least one."""
    share = max(1, EVIDENCE_LIMIT // len(states))
    return [line for state in states for line in evidence(state, because)[:share]]
