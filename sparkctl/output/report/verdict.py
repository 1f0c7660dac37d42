"""A report's first sentence: healthy, or what fails and where; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparkctl.doctor.finding import Severity
from sparkctl.output.finding import NAMED
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import Snapshot

State = Literal["good", "warned", "unsure", "bad"]
BAD = (Severity.FAIL, Severity.CRASH)


@dataclass(frozen=True)
class Verdict:
    """The sentence, and how it stands."""

    state: State
    sentence: str


def verdict(snapshot: Snapshot, findings: Sequence[Finding]) -> Verdict:
    """What a report says first of these findings."""
    away = [name for name in snapshot.names if name in snapshot.errors]
    failed = [f for f in findings if f.severity in BAD]
    others = [f for f in failed if f.node not in away]
    if failed:
        parts = [f"{_listed(away)} {'is' if len(away) == 1 else 'are'} unreachable"] if away else []
        if others:
            number = len({f.check for f in others})
            fails = "check fails" if number == 1 else "checks fail"
            parts.append(f"{number} {fails} {_where(others)}")
        return Verdict("bad", f"Not healthy: {'; '.join(parts)}.")
    if unknown := [f for f in findings if f.severity is Severity.UNKNOWN]:
        checks = counted(len({f.check for f in unknown}), "check")
        return Verdict("unsure", f"Nothing fails, but {checks} could not decide {_where(unknown)}.")
    if warned := [f for f in findings if f.severity is Severity.WARN]:
        warnings = counted(len(warned), "warning")
        return Verdict("warned", f"Nothing fails; {warnings} {_where(warned)}.")
    if not findings:
        return Verdict("unsure", "No check ran.")
    ran = counted(len({f.check for f in findings}), "check")
    nodes = counted(len(snapshot.names), "node")
    return Verdict("good", f"Healthy: {ran} on {nodes} found nothing wrong.")


def _where(findings: Sequence[Finding]) -> str:
    """On which nodes, and by which checks."""
    nodes = dict.fromkeys(f.node or "the cluster" for f in findings)
    return f"on {_listed([*nodes])}: {_listed({f.check: None for f in findings}, 'checks')}"


def _listed(names: Collection[str], noun: str = "nodes") -> str:
    """The first names, and how many more there are."""
    shown, more = list(names)[:NAMED], len(names) - NAMED
    if more > 0:
        shown.append(f"{more} more {noun.removesuffix('s') if more == 1 else noun}")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)
