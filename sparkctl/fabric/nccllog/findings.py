"""A finding from one cause and the ranks that show it; pure."""

from __future__ import annotations

from itertools import islice
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
MOST_EVIDENCE = 24  # lines, where there are more ranks than that
MOST_DETAILS = 8  # that differ between ranks


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
        detail=_shortened(list(texts)),
        ranks=(state.name for state in states),
        candidates=dict.fromkeys(open_ones),
        data=merged(details),
    )


def _advice(because: Cause, states: Sequence[RankState], halves: Halves) -> advice.Advice:
    """The advice on a cause, or a more precise one by these ranks' lines."""
    match because:
        case "unknown":
            known = next(filter(None, map(meaning, states)), None)
            return known or (_cut(states) and advice.BEGINNING_MISSING) or advice.ADVICE[because]
        case "memory-registration" if all(map(bad_address, states)):
            return advice.BAD_ADDRESS
        case "one-half-only" if all(_one_device(halves[state.name]) for state in states):
            return advice.ONE_DEVICE
    return advice.ADVICE[because]


def _cut(states: Sequence[RankState]) -> bool:
    """Whether each of them may have printed the cause in lines that the log lacks."""
    return all(state.cut and transport(state) in ("socket", "unknown") for state in states)


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
    lines = (line for state in states for line in evidence(state, because)[:share])
    return list(islice(lines, MOST_EVIDENCE))


def _shortened(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_DETAILS
    return "; ".join([*texts[:MOST_DETAILS], *([f"{more} more"] if more > 0 else [])])
