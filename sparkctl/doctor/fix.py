"""`doctor --fix`: applies the remedies that are safe and reversible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.doctor.collect import collect
from sparkctl.doctor.dependencies import prerequisites
from sparkctl.doctor.finding import UNDECIDED, Finding, Severity
from sparkctl.doctor.remedy import Action, Removal
from sparkctl.doctor.runner import choose_checks, evaluate, sources
from sparkctl.errors import RemoteError, SparkctlError
from sparkctl.facts.calls import CHANGE
from sparkctl.node.undo import TABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

OWNER = "fix"  # of its entries in the nodes' journals


@dataclass(frozen=True)
class Planned:
    """One change on a node, and the check that requires it."""

    node: str
    action: Action | Removal
    command: str = field(default="", compare=False)  # the same by hand, if there is a command
    check: str = field(default="", compare=False)

    def __str__(self) -> str:
        by_hand = f" ({self.command})" if self.command else ""
        return f"{self.node}: {self.action.title}{by_hand}"


@dataclass(frozen=True)
class Outcome:
    """The result of a change: done, failed with `error`, or `needless` for this reason."""

    change: Planned
    error: str = ""
    needless: str = ""

    def __str__(self) -> str:
        if self.needless:
            return f"no longer needed: {self.change}: {self.needless}"
        return f"FAILED: {self.error}: {self.change}" if self.error else f"done: {self.change}"


def plan(findings: Iterable[Finding]) -> list[Planned]:
    """The changes of `--fix`, each once, in the findings' order."""
    planned: list[Planned] = []
    for finding in findings:
        if finding.severity in (Severity.FAIL, Severity.WARN) and finding.fix and finding.node:
            by_hand = zip(finding.fix.actions, finding.fix.to_paste, strict=False)
            for action, command in by_hand:
                # The command of a removal is `doctor --fix` itself.
                pasted = "" if isinstance(action, Removal) else command
                planned.append(Planned(finding.node, action, pasted, finding.check))
    return list(dict.fromkeys(planned))


def carry_out(
    session: Session,
    nodes: Sequence[Node],
    agreed: Sequence[Planned],
    *,
    passive: bool = False,
    barred: Mapping[str, SparkctlError] | None = None,
    skip: Collection[str] = (),
) -> list[Outcome]:
    """Check these nodes again, and apply the agreed changes that are still required.

    What the findings call leftovers may be part of a cluster that was started since. A change
    fails if its check can no longer decide, or if its node is `barred`, for the reason given
    there, or if its remedy is withheld for a check that is not in `skip`. `session` must not have
    read any facts.
    """
    checks = choose_checks({change.check for change in agreed})
    snapshot = collect(session, nodes, sources(checks), passive=passive)
    findings = evaluate(snapshot, checks, prerequisites(checks, skip))
    due = plan(findings)
    errors: dict[Planned, str | None] = {c: str(e) for c in agreed if (e := _bar(c, barred))}
    free = [change for change in agreed if change in due and change not in errors]
    errors.update(apply(session, free))
    return [
        Outcome(change, error=errors[change] or "")
        if change in errors
        else _not_due(session, change, findings)
        for change in agreed
    ]


def _bar(change: Planned, barred: Mapping[str, SparkctlError] | None) -> SparkctlError | None:
    return barred.get(change.node) if barred else None


def _not_due(session: Session, change: Planned, findings: Iterable[Finding]) -> Outcome:
    if change.node not in session.facts:
        return Outcome(change, error=str(_absence(session, change.node)))
    now = [f for f in findings if f.check == change.check and change.node in (f.node, *f.about)]
    undecided = next((f for f in now if f.severity in UNDECIDED), None)
    if undecided:
        return Outcome(
            change, error=f"{change.check} cannot be decided any more: {undecided.summary}"
        )
    withheld = next((f.fix for f in now if f.fix and f.fix.after), None)
    if withheld:
        return Outcome(change, error=f"{change.check} cannot be fixed yet: {withheld.text}")
    summaries = "; ".join(f.summary for f in now)
    return Outcome(change, needless=summaries or f"{change.check} finds nothing")


def apply(session: Session, planned: Sequence[Planned]) -> list[tuple[Planned, str | None]]:
    """Apply the changes one after another; each is returned with its error, None if it is done.

    `session.facts` has the nodes' facts.
    """
    return [(change, _apply(session, change)) for change in planned]


def _apply(session: Session, change: Planned) -> str | None:
    action, name = change.action, change.node
    try:
        if name not in session.facts:
            raise _absence(session, name)
        if isinstance(action, Removal):
            session.ask(session.node(name), action.call, action.request, title=action.title)
        else:
            do = {"name": action.change, "data": dict(action.data)}
            request = {"owner": OWNER, "do": do, "title": action.title}
            root = TABLE[action.change].root
            session.ask(session.node(name), CHANGE, request, title=action.title, root=root)
    except SparkctlError as error:
        return str(error)
    return None


def _absence(session: Session, name: str) -> SparkctlError:
    """Why nothing can be changed on a node without facts."""
    error = session.pool.errors.get(name) or session.unread.get(name)
    return error or RemoteError("no facts were read", node=name)
