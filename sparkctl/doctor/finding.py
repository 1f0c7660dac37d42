"""What a check says: a severity, the evidence, and the remedy; the same for people and JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.doctor.remedy import Remedy
    from sparkctl.errors import Data


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
    """What was expected and what is there, and where it was read (a path, a command, a line)."""

    expected: str
    got: str
    where: str

    def document(self) -> dict[str, str]:
        """The evidence as JSON; `wanted` and `found` are the names of 0.1."""
        pair = {"expected": self.expected, "got": self.got}
        return {**pair, "where": self.where, "wanted": self.expected, "found": self.got}


@dataclass(frozen=True)
class Finding:
    """One check's word on one node, pair or cluster.

    `code` says which of the check's findings it is, `data` what it is about: programs read these,
    never the summary. The runner fills in check, scope and `about`: the nodes that the check was
    called with.
    """

    severity: Severity
    summary: str
    evidence: tuple[Evidence, ...] = ()
    fix: Remedy | None = None
    node: str | None = None
    check: str = ""
    scope: str = ""
    about: tuple[str, ...] = ()
    code: str = ""
    data: Data = field(default_factory=dict, hash=False)

    def of(self, check: str, scope: str, *about: str) -> Finding:
        """The finding with its check, scope and the nodes it is about; unless it names a node
        itself, it belongs to the last of them.
        """
        node = self.node or (about[-1] if about else None)
        return replace(self, check=check, scope=scope, about=about, node=node)

    def document(self) -> dict[str, Any]:
        """The finding as JSON; part of the contract that scripts rely on."""
        return {
            "check": self.check,
            "code": self.code,
            "scope": self.scope,
            "node": self.node,
            "severity": self.severity.value,
            "summary": self.summary,
            "data": dict(self.data),
            "evidence": [e.document() for e in self.evidence],
            "fix": self.fix.document() if self.fix else None,
        }

    def __str__(self) -> str:
        where = f"{self.node}: " if self.node else ""
        return f"{where}{self.check}: {self.summary}"


NONE: Data = {}


def ok(summary: str, *, node: str | None = None, code: str = "ok", data: Data = NONE) -> Finding:
    """All is well."""
    return Finding(Severity.OK, summary, node=node, code=code, data=data)


def info(
    summary: str,
    *evidence: Evidence,
    node: str | None = None,
    code: str = "unspecified",
    data: Data = NONE,
) -> Finding:
    """Worth knowing, nothing to do."""
    return Finding(Severity.INFO, summary, evidence, node=node, code=code, data=data)


def unknown(
    reason: str,
    *,
    fix: Remedy | None = None,
    node: str | None = None,
    code: str = "unread",
    data: Data = NONE,
) -> Finding:
    """It could not be decided, for this reason."""
    return Finding(Severity.UNKNOWN, reason, fix=fix, node=node, code=code, data=data)


def warn(
    summary: str,
    evidence: Evidence,
    fix: Remedy,
    *,
    node: str | None = None,
    code: str = "unspecified",
    data: Data = NONE,
) -> Finding:
    """It works, but worse or for a while only."""
    return Finding(Severity.WARN, summary, (evidence,), fix, node, code=code, data=data)


def fail(
    summary: str,
    evidence: Evidence,
    fix: Remedy,
    *,
    node: str | None = None,
    code: str = "unspecified",
    data: Data = NONE,
) -> Finding:
    """It will not work, or runs at a fraction of its speed."""
    return Finding(Severity.FAIL, summary, (evidence,), fix, node, code=code, data=data)
