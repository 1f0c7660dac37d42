"""One cause and the ranks that show it → a finding: what the log adds, and leaves open; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import advice, hca, warnings
from sparkctl.fabric.nccllog.classify import (
    broken,
    disabled,
    network,
    not_rdma,
    transport,
)
from sparkctl.fabric.nccllog.errors import BAD_DETAIL
from sparkctl.fabric.nccllog.evidence import evidence
from sparkctl.fabric.nccllog.model import Candidate, Cause, Evidence, Finding, Severity

if TYPE_CHECKING:
    from sparkctl.fabric.nccllog.peers import LoneHalf
    from sparkctl.fabric.nccllog.rank import RankState

EVIDENCE_LIMIT = 6


def finding(because: Cause, states: list[RankState], halves: dict[str, LoneHalf]) -> Finding:
    """The finding on a cause; `states` are the ranks that show it, at least one."""
    told = _advice(because, states, halves)
    details = dict.fromkeys(_detail(because, state, halves) for state in states)
    if because == "mixed-transports" and len({network(state) for state in states}) == 1:
        details = {}  # the socket told it, and the peer that is otherwise is in no log here
    detail = "; ".join(filter(None, details))
    candidates = dict.fromkeys(c for s in states for c in _candidates(because, s, halves))
    return Finding(
        cause=because,
        severity=_severity(because, states, halves),
        summary=told.summary + (f" ({detail})" if detail else ""),
        ranks=tuple(state.name for state in states),
        evidence=tuple(_evidence(because, states)),
        candidates=tuple(candidates),
        fix=told.fix,
    )


def _advice(because: Cause, states: list[RankState], halves: dict[str, LoneHalf]) -> advice.Advice:
    """What a cause's advice is, after what these ranks' lines add to it."""
    match because:
        case "unknown":
            return next(filter(None, map(_meaning, states)), advice.ADVICE[because])
        case "memory-registration" if all(_bad_address(state) for state in states):
            return advice.BAD_ADDRESS
        case "one-half-only" if all(_one_device(halves[state.name]) for state in states):
            return advice.ONE_DEVICE
    return advice.ADVICE[because]


def _meaning(state: RankState) -> advice.Advice | None:
    """What a rank's warnings mean, where nothing else tells more of it."""
    kind, told = transport(state), warnings.meaning(state.marks)
    if kind == "socket" or (told is warnings.WARNED and kind not in ("rdma", "local")):
        return None
    return told


def _bad_address(state: RankState) -> bool:
    fault = broken(state).get("memory-registration")
    return fault is not None and fault.detail == BAD_DETAIL


def _one_device(half: LoneHalf) -> bool:
    return not half.sure and not half.carries


def _severity(because: Cause, states: list[RankState], halves: dict[str, LoneHalf]) -> Severity:
    if because == "one-half-only":
        return "WARN" if any(halves[state.name].sure for state in states) else "INFO"
    kinds = {transport(state) for state in states}
    if because == "mixed-transports" or kinds & {"failed", "socket"}:
        return "FAIL"
    if because == "unknown" and kinds == {"unknown"}:
        return "UNKNOWN"
    return "WARN"


def _evidence(because: Cause, states: list[RankState]) -> list[Evidence]:
    """A share of the lines for each rank, one at least, so that none is left out."""
    share = max(1, EVIDENCE_LIMIT // len(states))
    return [line for state in states for line in evidence(state, because)[:share]]


def _detail(because: Cause, state: RankState, halves: dict[str, LoneHalf]) -> str:
    """What a rank's log adds to the summary."""
    match because:
        case "mixed-transports":
            return f"{state.name} on {network(state)}"
        case "one-half-only":
            return f"{state.name} {halves[state.name].detail}"
        case "hca-filter-no-match":
            value = state.settings["NCCL_IB_HCA"]
            return _set_to(state, "NCCL_IB_HCA") + hca.impossible(value, state.release)
        case "no-device" if state.settings.get("NCCL_IB_HCA"):
            return f"{_set_to(state, 'NCCL_IB_HCA')} leaves none out"
        case "ifname-no-match":
            return _set_to(state, "NCCL_SOCKET_IFNAME")
        case "net-ib-unavailable":
            reason = not_rdma(state)
            if reason == "unknown":
                return ""
            detail = _detail(reason, state, halves)
            return f"because of {reason}" + (f", {detail}" if detail else "")
        case "unknown":
            return _unknown(state)
    fault = broken(state).get("net-ib-unavailable" if because == "plugin-only" else because)
    if fault and fault.detail:
        return fault.detail
    return ", ".join(state.networks) if because == "plugin-only" else ""


def _set_to(state: RankState, name: str) -> str:
    return f"{name}={state.settings[name]!r}" if name in state.settings else ""


def _unknown(state: RankState) -> str:
    if said := warnings.lines(state.marks) or state.marks.get("unknown"):
        return said[0].text.partition(" NCCL WARN ")[2] or said[0].text
    if network(state) == "socket":
        return f"{state.name} took Socket"
    return f"{state.name} names no network"


def _candidates(
    because: Cause, state: RankState, halves: dict[str, LoneHalf]
) -> tuple[Candidate, ...]:
    """The causes that a rank's log leaves open; none where it proves the one."""
    match because:
        case "hca-filter-no-match":
            value = state.settings["NCCL_IB_HCA"]
            if hca.impossible(value, state.release):
                return ()
            return (hca.candidate(value, state.release), *advice.NO_DEVICE)
        case "net-forced-socket" if not (state.devices or "NCCL_NET" in state.settings):
            return advice.SKIPPED_IB
        case "ib-disabled" if not disabled(state):
            return advice.SILENT_DISABLE
        case "unknown" if meaning := _meaning(state):
            return meaning.candidates
        case "unknown" if network(state) == "socket":
            return advice.NO_REASON
        case "net-ib-unavailable":
            reason = not_rdma(state)
            return _candidates(reason, state, halves) if reason != "unknown" else advice.UNSEEN
        case "memory-registration" if _bad_address(state):
            return ()
        case "one-half-only" if not halves[state.name].sure and halves[state.name].carries:
            return (advice.FOLDED,)
        case "one-half-only" if not halves[state.name].carries:
            return advice.SILENT_HALF
    return advice.ADVICE[because].candidates
