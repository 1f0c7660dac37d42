"""The verdict on all ranks together, each cause once; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

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
    changed,
    graphs_over_nodes,
    nothing_read,
    program_failed,
    start_transport,
    unlike_versions,
    without_address,
)
from sparkctl.fabric.nccllog.findings import finding
from sparkctl.fabric.nccllog.model import (
    Cause,
    Evidence,
    Finding,
    LogVerdict,
    Other,
    RankVerdict,
    Severity,
    Transport,
)
from sparkctl.fabric.nccllog.peers import LoneHalf, lone_halves, mixed, overall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparkctl.fabric.nccllog.rank import RankState

ORDER: tuple[Severity, ...] = ("FAIL", "WARN", "UNKNOWN", "INFO")
HANG = "engine-wedged"  # the code of a wedge (engines/vllm/failures.py)


@dataclass(frozen=True)
class Around:
    """What logs show besides the processes of the last start.

    `gloo` are Gloo's lines about an interface without an address, `errors` NCCL's errors as the
    program printed them, by code, `graphs` lines on captured CUDA graphs. `earlier` are the
    processes of each start before, `dropped` the number of those of which nothing is kept. `cut`:
    the beginning of a log is missing.
    """

    gloo: Sequence[Evidence] = ()
    errors: Mapping[str, Sequence[Evidence]] = field(default_factory=dict)
    graphs: Sequence[Evidence] = ()
    earlier: Sequence[Sequence[RankState]] = ()
    dropped: int = 0
    cut: bool = False


def join(states: Sequence[RankState], around: Around, others: Sequence[Finding] = ()) -> LogVerdict:
    """The verdict on every process, and on all of them.

    `others` are the findings of another reader of the same logs. The worst finding names the cause
    of the whole log.
    """
    ranks, grouped, halves = _ranks(states)
    kind = overall((state, transport(state)) for state in states)
    findings = [finding(name, found, halves) for name, found in _known(grouped, kind).items()]
    findings += [without_address(around.gloo)] if around.gloo else []
    failed = bool(around.gloo) or kind == "failed"
    findings = _with_errors(findings, around.errors, failed=failed)
    findings += [*unlike_versions(states), *graphs_over_nodes(states, around.graphs), *others]
    findings += changed(around.earlier, kind)
    if not states and not any(_explains_end(f) for f in findings):
        findings.append(nothing_read(cut=around.cut))
    findings.sort(key=_order)
    return LogVerdict(
        ranks,
        "failed" if around.gloo or around.errors else kind,
        _cause(findings),
        tuple(findings),
        earlier=_earlier(around),
    )


def _explains_end(found: Finding) -> bool:
    """Whether a finding is why the program ended: a hang may still be the network's."""
    return found.severity == "FAIL" and found.code != HANG


def _earlier(around: Around) -> dict[Transport, int]:
    """The number of earlier starts by transport; unknown of those of which nothing is kept."""
    kinds = Counter(start_transport(start) for start in around.earlier)
    kinds["unknown"] += around.dropped
    return {kind: count for kind, count in sorted(kinds.items()) if count}


def _with_errors(
    findings: Sequence[Finding], errors: Mapping[str, Sequence[Evidence]], *, failed: bool
) -> list[Finding]:
    """The findings, and the program's errors unless NCCL's own lines explain why it failed."""
    explained = any(f.severity == "FAIL" and f.cause != "unknown" for f in findings)
    known = [f for f in findings if not (explained and f.cause == "unknown")]
    if not errors or (explained and failed):
        return known
    # They name no process: they may be of one whose own lines show nothing.
    return [*(f for f in known if f.severity != "UNKNOWN"), *program_failed(errors)]


def _ranks(
    states: Sequence[RankState],
) -> tuple[tuple[RankVerdict, ...], dict[Cause, list[RankState]], dict[str, LoneHalf]]:
    """Each process's verdict, the processes that show a cause, and those that use half a port."""
    unlike = {state.name for state in mixed(states)}
    halves = lone_halves(states)
    grouped: dict[Cause, list[RankState]] = {}
    ranks = []
    for state in states:
        causes = list(_causes(state, state.name in unlike, halves.get(state.name)))
        for name in causes:
            grouped.setdefault(name, []).append(state)
        ranks.append(_rank(state, causes, halves.get(state.name)))
    return tuple(ranks), grouped, halves


def _known(
    grouped: Mapping[Cause, list[RankState]], kind: Transport
) -> dict[Cause, list[RankState]]:
    """The causes without those of processes that show nothing, if other ranks show a transport."""
    if kind == "unknown" or "unknown" not in grouped:
        return dict(grouped)
    unknown = [
        s
        for s in grouped["unknown"]
        if s.size or s.faults or warnings.meaning(s.marks) or network(s) == "socket"
    ]
    return {name: m for name, m in {**grouped, "unknown": unknown}.items() if m}


def _order(finding: Finding) -> tuple[int, int]:
    """The worst first; of equals mixed transports, then NCCL's causes, then the rest."""
    first = {"mixed-transports": 0, **dict.fromkeys(get_args(Other), 2), "unknown": 3}
    return ORDER.index(finding.severity), first.get(finding.cause, 1)


def _cause(findings: Sequence[Finding]) -> Cause | None:
    """The first cause that is NCCL's own; unknown if only something else is wrong."""
    wrong = [f.cause for f in findings if f.severity != "INFO"]
    for name in wrong:
        match name:
            case "nccl-versions" | "vllm" | "sglang" | "cuda-graphs" | "earlier-starts":
                continue
            case _:
                return name
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
        # The fix concerns why this one uses TCP.
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
