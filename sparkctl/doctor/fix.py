"""`doctor --fix`: the remedies that are safe and reversible, applied on the nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sparkctl.cluster.session import Session
from sparkctl.doctor.finding import Finding, Severity
from sparkctl.doctor.remedy import Action, Removal
from sparkctl.errors import SparkctlError
from sparkctl.remote.command import Command


@dataclass(frozen=True)
class Planned:
    """One change on a node."""

    node: str
    action: Action | Removal
    command: str = ""  # the same by hand, where there is such a command

    def __str__(self) -> str:
        by_hand = f" ({self.command})" if self.command else ""
        return f"{self.node}: {self.action.title}{by_hand}"


def plan(findings: Iterable[Finding]) -> list[Planned]:
    """What `--fix` would do, each change once, in the findings' order."""
    planned: list[Planned] = []
    for finding in findings:
        if finding.severity in (Severity.FAIL, Severity.WARN) and finding.fix and finding.node:
            by_hand = zip(finding.fix.actions, finding.fix.to_paste, strict=False)
            planned += [
                # What removes something by hand is this very --fix.
                Planned(finding.node, action, "" if isinstance(action, Removal) else command)
                for action, command in by_hand
            ]
    return [p for i, p in enumerate(planned) if p not in planned[:i]]


def apply(session: Session, planned: Sequence[Planned]) -> list[tuple[Planned, str | None]]:
    """Do it, one after another; each change with its error, None where it was done.

    `session.facts` has the nodes' facts: who is not root goes through sudo.
    """
    return [(change, _apply(session, change)) for change in planned]


def _apply(session: Session, change: Planned) -> str | None:
    action, name = change.action, change.node
    try:
        if isinstance(action, Removal):
            session.ask(session.node(name), action.target, action.request, title=action.title)
        else:
            root = session.facts[name]["uid"] == 0
            argv = action.argv if root else ("sudo", "--non-interactive", *action.argv)
            session.pool.connections[name].run(Command(argv, title=action.title)).check()
    except SparkctlError as error:
        return str(error)
    return None
