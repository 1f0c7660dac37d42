"""One cause and the ranks that show it → a finding: what the log adds, and leaves open; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sparkctl.fabric.nccllog import advice
from sparkctl.fabric.nccllog.evidence import evidence
from sparkctl.fabric.nccllog.model import Candidate, Cause, Evidence, Finding, Severity
from sparkctl.fabric.nccllog.peers import LoneHalf
from sparkctl.fabric.nccllog.rank import RankState
from sparkctl.fabric.nccllog.verdict import (
    broken,
    disabled,
    network,
    not_rdma,
    transport,
)

EVIDENCE_LIMIT = 6
NETDEV = re.compile(r"(?:en[opsxP]|eth|wl|bond|br-|docker)")


def finding(because: Cause, states: list[RankState], halves: dict[str, LoneHalf]) -> Finding:
    """The finding on a cause; `states` are the ranks that show it, at least one."""
    told = advice.ADVICE[because]
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


def nothing_read() -> Finding:
    """The finding on logs in which NCCL says nothing."""
    told = advice.ADVICE["unknown"]
    return Finding("unknown", "UNKNOWN", "no line of NCCL in the log", (), (), (), told.fix)


def without_address(lines: Sequence[Evidence]) -> Finding:
    """The finding on Gloo's lines about an interface, which vLLM does not survive."""
    told = advice.GLOO
    names = ", ".join(dict.fromkeys(line.text.rpartition(": ")[2] for line in lines))
    summary = f"{told.summary} ({names})"
    return Finding("ifname-no-match", "FAIL", summary, (), tuple(lines), (), told.fix)


def _severity(because: Cause, states: list[RankState], halves: dict[str, LoneHalf]) -> Severity:
    if because == "one-half-only":
        return "WARN" if any(halves[state.name].sure for state in states) else "INFO"
    kinds = {transport(state) for state in states}
    if because == "mixed-transports" or kinds & {"failed", "socket"}:
        return "FAIL"
    return "UNKNOWN" if because == "unknown" else "WARN"


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
            return _set_to(state, "NCCL_IB_HCA") + impossible(state.settings["NCCL_IB_HCA"])
        case "ifname-no-match":
            return _set_to(state, "NCCL_SOCKET_IFNAME")
        case "net-ib-unavailable":
            reason = not_rdma(state)
            return "" if reason == "unknown" else f"because of {reason}"
        case "unknown":
            return _unknown(state)
    fault = broken(state).get("net-ib-unavailable" if because == "plugin-only" else because)
    if fault and fault.detail:
        return fault.detail
    return ", ".join(state.networks) if because == "plugin-only" else ""


def _set_to(state: RankState, name: str) -> str:
    return f"{name}={state.settings[name]!r}" if name in state.settings else ""


def _unknown(state: RankState) -> str:
    if warnings := state.marks.get("warning"):
        return warnings[0].text
    if network(state) == "socket":
        return f"{state.name} took Socket"
    return f"{state.name} names no network"


def _candidates(
    because: Cause, state: RankState, halves: dict[str, LoneHalf]
) -> tuple[Candidate, ...]:
    """The causes that a rank's log leaves open; none where it proves the one."""
    match because:
        case "hca-filter-no-match" if impossible(state.settings["NCCL_IB_HCA"]):
            return ()
        case "net-forced-socket" if not (state.devices or "NCCL_NET" in state.settings):
            return advice.SKIPPED_IB
        case "ib-disabled" if not disabled(state):
            return advice.SILENT_DISABLE
        case "unknown" if network(state) == "socket":
            return advice.NO_REASON
        case "net-ib-unavailable":
            return advice.ADVICE[not_rdma(state)].candidates
        case "one-half-only" if not halves[state.name].sure:
            return (advice.FOLDED,)
        case "one-half-only" if not halves[state.name].carries:
            return advice.SILENT_HALF
    return advice.ADVICE[because].candidates


def impossible(value: str) -> str:
    """Why no entry of a NCCL_IB_HCA value can select a Spark's device; empty when one may.

    Nothing is trimmed, ports are numbered 1, `^` alone selects nothing (NCCL's src/misc/utils.cc).
    """
    if value.startswith("^"):
        return "" if value.strip("^=,") else ": ^ alone leaves out every device"
    reasons = []
    for entry in filter(None, value.removeprefix("=").split(",")):
        name, _, rest = entry.partition(":")
        port = rest.partition(":")[0]
        if re.search(r"[\s\"';]", entry):
            reasons.append(f"space, quote or semicolon in {entry!r} is part of the name")
        elif NETDEV.match(name):
            reasons.append(f"{name} is an interface, not an RDMA device")
        elif port.isdigit() and int(port[:9]) != 1:
            reasons.append(f"{name} has no port {port}")
        else:
            return ""
    return ": " + ", ".join(reasons) if reasons else ""
