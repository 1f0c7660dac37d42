"""Which of the causes that a log leaves open the checks on the nodes show; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparkctl.doctor.cause_tables import (
    BY_SELECTION,
    CODES,
    DECIDING,
    EXACT,
    IB_DISABLE,
    OF_BOTH_ENDS,
    REQUIRED,
    VARIABLES,
)
from sparkctl.doctor.checks.selection import devices
from sparkctl.doctor.finding import UNDECIDED, Finding, Severity
from sparkctl.fabric.grammar import IB_HCA
from sparkctl.fabric.hca import Device, select_hcas
from sparkctl.fabric.ncclparam import number
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.fabric.nccllog.model import Finding as LogFinding
    from sparkctl.fabric.nccllog.model import LogVerdict


@dataclass(frozen=True)
class Decision:
    """A cause that the log leaves open: `found` on a node by these checks, `not found` on any, or
    still `open`, because a check could not decide or there is none.
    """

    cause: str
    state: Literal["found", "not found", "open"]
    node: str | None = None
    checks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """Whether a cause holds on `nodes`, None for all.

    `values`: of NCCL_IB_HCA in the log. `proven`: the log itself proves the cause.
    """

    cause: str
    nodes: frozenset[str] | None
    values: frozenset[str]
    proven: bool
    by_selection: bool

    def concerns(self, finding: Finding) -> bool:
        """Whether the finding is of a deciding check, on these nodes; a pair's is on both."""
        checks = DECIDING.get(self.cause, ())
        if finding.check not in checks and finding.check.partition(".")[0] not in checks:
            return False
        return self.nodes is None or finding.scope != "node" or finding.node in self.nodes

    def shown_by(self, finding: Finding) -> bool:
        """Whether the finding shows the cause."""
        if finding.severity not in (Severity.FAIL, Severity.WARN):
            return False
        if self.cause in VARIABLES:
            return _sets(finding, VARIABLES[self.cause])
        return self.cause not in CODES or finding.code in CODES[self.cause]


def deciding(verdict: LogVerdict) -> list[str]:
    """The ids of the checks that decide between the causes that the log leaves open."""
    causes = (c for f in verdict.findings for c in (f.cause, *(o.cause for o in f.candidates)))
    return list(dict.fromkeys(check for cause in causes for check in DECIDING.get(cause, ())))


def decide(verdict: LogVerdict, findings: Sequence[Finding], snapshot: Snapshot) -> list[Decision]:
    """What the checks decide of each candidate, or of the cause where the log has no other.

    The log of a host that is no node's name may come from any node.
    """
    decisions = (
        decision
        for found in verdict.findings
        for question in _questions(verdict, found, snapshot)
        for decision in _answers(question, findings, snapshot)
    )
    return list(dict.fromkeys(decisions))


def _questions(verdict: LogVerdict, found: LogFinding, snapshot: Snapshot) -> Iterator[Question]:
    named = {snapshot.hosts.get(rank.rpartition(":")[0]) for rank in found.ranks}
    anywhere = None in named or not named or found.cause in OF_BOTH_ENDS
    nodes = None if anywhere else frozenset(n for n in named if n)
    values = frozenset(verdict.values(IB_HCA, found.ranks).values())
    for cause in [c.cause for c in found.candidates] or [found.cause]:
        by_selection = cause in BY_SELECTION
        if found.cause == "one-half-only":  # a port that is down is then the other half's
            by_selection = cause == "hca-filter" and bool(values)
        yield Question(cause, nodes, values, not found.candidates, by_selection)


def _answers(
    question: Question, findings: Sequence[Finding], snapshot: Snapshot
) -> Iterator[Decision]:
    if question.by_selection:
        yield from _by_selection(question, snapshot)
        return
    relevant = [f for f in findings if question.concerns(f)]
    proofs = [f for f in relevant if question.shown_by(f)]
    proofs = [f for f in proofs if f.check == EXACT.get(question.cause)] or proofs
    yield from _found(question.cause, proofs) if proofs else _not_found(question, relevant)


def _found(cause: str, proofs: Sequence[Finding]) -> Iterator[Decision]:
    for node in dict.fromkeys(f.node for f in proofs):
        yield Decision(cause, "found", node, _checks(f for f in proofs if f.node == node))


def _not_found(question: Question, relevant: Sequence[Finding]) -> Iterator[Decision]:
    undecided = [f for f in relevant if f.severity in UNDECIDED]
    clear = [f for f in relevant if f.severity not in (*UNDECIDED, Severity.INFO)]
    required = REQUIRED.get(question.cause)
    if undecided or not clear or (required and required not in _checks(clear)):
        yield Decision(question.cause, "open", checks=_checks(undecided))
    elif not question.proven:  # what a log proves is true, whatever the nodes look like now
        yield Decision(question.cause, "not found", checks=_checks(clear))


def _checks(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f.check for f in findings))


def _sets(finding: Finding, variables: Collection[str]) -> bool:
    """Whether the finding is of one of these variables that is set, and not to its default."""
    variable, value = finding.data.get("variable"), finding.data.get("got")
    if variable not in variables or value is None:
        return False
    return variable != IB_DISABLE or bool(number(str(value)))


def _by_selection(question: Question, snapshot: Snapshot) -> Iterator[Decision]:
    """Whether the cause holds on a node for one of the values (none: unset)."""
    found, undecided = [], False
    for node in snapshot.names:
        if question.nodes is not None and node not in question.nodes:
            continue
        try:
            if any(_holds(question.cause, v, snapshot, node) for v in question.values or (None,)):
                found.append(node)
        except Missing:
            undecided = True
    for node in found:
        yield Decision(question.cause, "found", node, ("fabric.devices",))
    if not found:
        state: Literal["open", "not found"] = "open" if undecided else "not found"
        yield Decision(question.cause, state, checks=("fabric.devices",))


def _holds(cause: str, value: str | None, snapshot: Snapshot, node: str) -> bool:
    here, version = devices(snapshot, node), snapshot.nccl_version(node)
    chosen = select_hcas(value, here, version).selected
    if cause == "hca-filter":
        return not set(chosen).issuperset(snapshot.choice(node).hcas)
    if cause == "port-down":
        all_up = [Device(d.name, d.port) for d in here]
        return not chosen and bool(select_hcas(value, all_up, version).selected)
    return value is not None and not chosen
