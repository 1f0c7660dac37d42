"""The result of a check: a severity, the evidence and the remedy, for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparkctl.doctor.remedy import Remedy
    from sparkctl.errors import Data
    from sparkctl.facts.unread import Missing


class Severity(Enum):
    """How a finding counts: `doctor` exits with 3 on a FAIL, and if a node has nothing but UNKNOWN
    and CRASH.
    """

    OK = "OK"
    INFO = "INFO"
    WARN = "WARN"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"  # what the check requires could not be read
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


UNDECIDED = (Severity.UNKNOWN, Severity.CRASH)


@dataclass(frozen=True)
class Evidence:
    """The expected value, the actual one, and where it was read: a path, a command, a line."""

    expected: str
    got: str
    where: str

    def document(self) -> dict[str, str]:
        """The evidence as JSON; `wanted` and `found` are the names of 0.1."""
        pair = {"expected": self.expected, "got": self.got}
        return {**pair, "where": self.where, "wanted": self.expected, "found": self.got}


@dataclass(frozen=True)
class Finding:
    """What one check found on one node, pair or cluster.

    `code` names it among the findings of its check, `data` holds its values: programs read these,
    never the summary. The runner sets `check`, `scope` and `about`, the nodes that the check was
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
        """The finding with its check, its scope and the nodes it is about.

        Its node is the last of them, unless the check set one.
        """
        node = self.node or (about[-1] if about else None)
        return replace(self, check=check, scope=scope, about=about, node=node)

    def of_service(self, service: str) -> Finding:
        """The finding with the service it is about, which its remedy restarts alone; its summary
        names it where no node does.
        """
        summary = self.summary if self.node else f"service {service}: {self.summary}"
        fix = self.fix and self.fix.of_service(service)
        return replace(self, summary=summary, fix=fix, data={**self.data, "service": service})

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

    @property
    def place(self) -> str:
        """The check, and the node if it is about one: how a headline begins."""
        return f"{self.check} {self.node}" if self.node else self.check

    def __str__(self) -> str:
        return f"{self.place}: {self.summary}"


NONE: Data = {}


def ok(summary: str, *, node: str | None = None, code: str = "ok", data: Data = NONE) -> Finding:
    """What the check expects."""
    return Finding(Severity.OK, summary, node=node, code=code, data=data)


def info(
    summary: str,
    *evidence: Evidence,
    node: str | None = None,
    code: str,
    data: Data = NONE,
) -> Finding:
    """Worth knowing; nothing to do."""
    return Finding(Severity.INFO, summary, evidence, node=node, code=code, data=data)


def unknown(
    reason: str,
    *,
    fix: Remedy | None = None,
    node: str | None = None,
    code: str = "unread",
    data: Data = NONE,
) -> Finding:
    """The check could not decide, for this reason."""
    return Finding(Severity.UNKNOWN, reason, fix=fix, node=node, code=code, data=data)


def unread(error: Missing, *, node: str | None = None) -> Finding:
    """The check could not decide, because something is missing."""
    return unknown(error.message, node=node, code=error.code, data=error.data)


def warn(
    summary: str,
    evidence: Evidence,
    fix: Remedy,
    *,
    node: str | None = None,
    code: str,
    data: Data = NONE,
) -> Finding:
    """It works, but worse or not for long."""
    return Finding(Severity.WARN, summary, (evidence,), fix, node, code=code, data=data)


def fail(
    summary: str,
    evidence: Evidence,
    fix: Remedy,
    *,
    node: str | None = None,
    code: str,
    data: Data = NONE,
) -> Finding:
    """It does not work, or runs at a fraction of its speed."""
    return Finding(Severity.FAIL, summary, (evidence,), fix, node, code=code, data=data)
