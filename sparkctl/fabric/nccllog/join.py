"""From the ranks' states to the joined verdict, each cause once; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.nccllog import warnings
from sparkctl.fabric.nccllog.classify import (
    carried,
    cause,
    network,
    not_rdma,
    opened,
    transport,
)
from sparkctl.fabric.nccllog.evidence import evidence
from sparkctl.fabric.nccllog.extra_findings import (
    nothing_read,
    program_failed,
    unlike_versions,
    without_address,
)
from sparkctl.fabric.nccllog.findings import finding
from sparkctl.fabric.nccllog.model import (
    Cause,
    Evidence,
    Finding,
    LogVerdict,
    RankVerdict,
    Severity,
    Transport,
)
from sparkctl.fabric.nccllog.peers import LoneHalf, lone_halves, mixed, overall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.fabric.nccllog.rank import RankState

ORDER: tuple[Severity, ...] = ("FAIL", "WARN", "UNKNOWN", "INFO")


def join(
    states: Sequence[RankState],
    gloo: Sequence[Evidence] = (),
    errors: Mapping[str, Sequence[Evidence]] | None = None,
    beside: Sequence[Finding] = (),
) -> LogVerdict:
    """The verdict on every process, and over all of them.

    `gloo` are Gloo's lines about an interface without an address, `errors` what the program said
    of NCCL's errors, by kind, `beside` the findings of another reader of the same logs. The worst
    finding names the whole log's cause.
    """
    kind, ranks, findings = _ranks(states)
    if gloo:
        kind = "failed"
        findings.append(without_address(gloo))
    explained = any(f.severity == "FAIL" and f.cause != "unknown" for f in findings)
    if explained:
        findings = [f for f in findings if f.cause != "unknown"]
    if errors and not (explained and kind == "failed"):
        # They do not say of which process they are: of one that tells nothing else, maybe.
        kind = "failed"
        findings = [f for f in findings if f.severity != "UNKNOWN"]
        findings += program_failed(errors)
    if unlike := unlike_versions(states):
        findings.append(unlike)
    findings += beside
    if not states and not any(f.severity == "FAIL" for f in findings):
        findings.append(nothing_read())
    findings.sort(key=_order)
    return LogVerdict(ranks, kind, _cause(findings), tuple(findings))


def _ranks(
    states: Sequence[RankState],
) -> tuple[Transport, tuple[RankVerdict, ...], list[Finding]]:
    """The transport over all, each process's verdict, and the findings on their causes."""
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
        grouped["unknown"] = [
            s for s in grouped["unknown"] if s.size or s.faults or warnings.meaning(s.marks)
        ]
    findings = [finding(name, members, halves) for name, members in grouped.items() if members]
    return kind, tuple(ranks), findings


def _order(finding: Finding) -> tuple[int, int]:
    """The worst first; of equals the transports, then what has a name, then the rest."""
    first = {"mixed-transports": 0, "nccl-versions": 2, "vllm": 2, "unknown": 3}
    return ORDER.index(finding.severity), first.get(finding.cause, 1)


def _cause(findings: Sequence[Finding]) -> Cause | None:
    """The first cause that is NCCL's own; unknown where only something else is wrong."""
    wrong = [f.cause for f in findings if f.severity != "INFO"]
    for told in wrong:
        match told:
            case "nccl-versions" | "vllm":
                continue
            case _:
                return told
    return "unknown" if wrong else None


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
        settings=dict(state.settings),
    )
