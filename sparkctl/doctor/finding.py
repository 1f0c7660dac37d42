"""What a check says: a severity, the evidence, and the remedy; the same for people and JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.doctor.remedy import Remedy


class Severity(Enum):
    """How a finding counts: `doctor` exits with 3 on a FAIL, and where a node has only UNKNOWN and
    CRASH.
    """

    OK = "OK"
    INFO = "INFO"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"  # what would be needed to tell could not be read
    CRASH = "CRASH"  # the check itself has a bug


# In the order in which they are printed.
ORDER = (
    Severity.CRASH,
    Severity.FAIL,
    Severity.WARN,
    Severity.UNKNOWN,
    Severity.INFO,
    Severity.OK,
)


@dataclass(frozen=True)
class Evidence:
    """What was wanted and found, and where it was read (a path, a command, a log's line)."""

    wanted: str
    found: str
    where: str


@dataclass(frozen=True)
class Finding:
    """One check's word on one node, pair or cluster; the runner fills in check, scope and `about`:
    the nodes that the check was called with.
    """

    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...] = ()
    fix: Remedy | None = None
    node: str | None = None
    check: str = ""
    scope: str = ""
    about: tuple[str, ...] = ()

    def of(self, check: str, scope: str, *about: str) -> Finding:
        """The finding with its check, scope and the nodes it is about; unless it names a node
        itself, it is told with the last of them.
        """
        node = self.node or (about[-1] if about else None)
        return replace(self, check=check, scope=scope, about=about, node=node)

    def document(self) -> dict[str, Any]:
        """The finding as JSON; part of the contract that scripts rely on."""
        return {
            "check": self.check,
            "scope": self.scope,
            "node": self.node,
            "severity": self.severity.value,
            "summary": self.summary,
            "evidence": [
                {"wanted": e.wanted, "found": e.found, "where": e.where} for e in self.evidence
            ],
            "fix": self.fix.document() if self.fix else None,
        }

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        return f"{where}{self.check}: {self.summary}"


def ok(summary: str, *, node: str | None = None) -> Finding:
    """All is well."""
    return Finding(Severity.OK, summary, node=node)


def info(summary: str, *evidence: Evidence, node: str | None = None) -> Finding:
    """Worth knowing, nothing to do."""
    return Finding(Severity.INFO, summary, evidence, node=node)


def unknown(reason: str, *, fix: Remedy | None = None, node: str | None = None) -> Finding:
    """It could not be told; the reason."""
    return Finding(Severity.UNKNOWN, reason, fix=fix, node=node)


def warn(summary: str, evidence: Evidence, fix: Remedy, *, node: str | None = None) -> Finding:
    """It works, but worse or for a while only."""
    return Finding(Severity.WARN, summary, (evidence,), fix, node)


def fail(summary: str, evidence: Evidence, fix: Remedy, *, node: str | None = None) -> Finding:
    """It will not work, or runs at a fraction of its speed."""
    return Finding(Severity.FAIL, summary, (evidence,), fix, node)
