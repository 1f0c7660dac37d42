"""From the ranks' states to the joined verdict, each cause once; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sparkctl.fabric.nccllog.evidence import evidence
from sparkctl.fabric.nccllog.findings import finding, nothing_read, without_address
from sparkctl.fabric.nccllog.model import Cause, Evidence, LogVerdict, RankVerdict, Severity
from sparkctl.fabric.nccllog.peers import LoneHalf, lone_halves, mixed, overall
from sparkctl.fabric.nccllog.rank import RankState
from sparkctl.fabric.nccllog.verdict import (
    carried,
    cause,
    network,
    not_rdma,
    opened,
    transport,
)

ORDER: tuple[Severity, ...] = ("FAIL", "WARN", "UNKNOWN", "INFO")


def join(states: Sequence[RankState], gloo: Sequence[Evidence] = ()) -> LogVerdict:
    """The verdict on every process, and over all of them; `gloo` are Gloo's lines about an
    interface without an address.

    The worst finding names the whole log's cause.
    """
    if not states and gloo:
        return LogVerdict((), "failed", "ifname-no-match", (without_address(gloo),))
    if not states:
        return LogVerdict((), "unknown", "unknown", (nothing_read(),))
    unlike = {state.name: state for state in mixed(states)}
    halves = lone_halves(states)
    kind = overall((state, transport(state)) for state in states)
    grouped: dict[Cause, list[RankState]] = {}
    ranks = []
    for state in states:
        causes = list(_causes(state, state.name in unlike, halves.get(state.name)))
        for name in causes:
            grouped.setdefault(name, []).append(state)
        ranks.append(_rank(state, causes, halves.get(state.name)))
    if kind != "unknown" and "unknown" in grouped:
        # What never joined a communicator tells nothing beside ranks that did.
        grouped["unknown"] = [s for s in grouped["unknown"] if s.size or s.faults]
    findings = [finding(name, members, halves) for name, members in grouped.items() if members]
    if gloo:
        kind, findings = "failed", [*findings, without_address(gloo)]
    if any(f.severity == "FAIL" and f.cause != "unknown" for f in findings):
        findings = [f for f in findings if f.cause != "unknown"]
    findings.sort(key=lambda f: (ORDER.index(f.severity), f.cause != "mixed-transports"))
    worst = next((f.cause for f in findings if f.severity != "INFO"), None)
    return LogVerdict(tuple(ranks), kind, worst, tuple(findings))


def _causes(state: RankState, unlike: bool, half: LoneHalf | None) -> Iterable[Cause]:
    """Every cause that a process shows, its own first."""
    own = cause(state)
    if unlike and own in (None, "unknown"):
        own = "mixed-transports"
    if own:
        yield own
    if unlike and own != "mixed-transports":
        yield "mixed-transports"
    if own == "mixed-transports" and network(state) == "socket":
        # Why this one is on Socket is what has to be cured.
        reason = not_rdma(state)
        if reason != "unknown":
            yield reason
    if half and transport(state) == "rdma":
        yield "one-half-only"


def _rank(state: RankState, causes: list[Cause], half: LoneHalf | None) -> RankVerdict:
    own = causes[0] if causes else None
    if own == "one-half-only" and half and not half.sure:
        own = None
    return RankVerdict(
        host=state.host,
        pid=state.pid,
        rank=state.rank,
        nccl=state.version,
        transport=transport(state),
        devices=opened(state),
        channels=carried(state),
        cause=own,
        evidence=evidence(state, own),
    )
