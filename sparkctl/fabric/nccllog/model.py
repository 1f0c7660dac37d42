"""The log reader's answer: a verdict on each rank and on all, and findings with a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sparkctl.text import keyed

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.errors import Data

Transport = Literal["rdma", "socket", "local", "failed", "unknown"]
Severity = Literal["FAIL", "WARN", "UNKNOWN", "INFO"]
Cause = Literal[
    "ib-disabled",
    "net-forced-socket",
    "hca-filter-no-match",
    "no-device",
    "libibverbs-missing",
    "device-open-denied",
    "net-ib-unavailable",
    "ifname-no-match",
    "gid-family-mismatch",
    "gid-empty-slot",
    "peer-timeout",
    "no-route",
    "retry-exceeded",
    "ring-without-diagonal",
    "memory-registration",
    "mixed-transports",
    "one-half-only",
    "plugin-only",
    "unknown",
]

# What a finding may be about instead; the cause of the log and of its ranks is then `unknown`.
Other = Literal["nccl-versions", "vllm", "sglang", "cuda-graphs", "earlier-starts"]


@dataclass(frozen=True)
class Evidence:
    """A line of a log, without prefixes and colours; `line` counts from 1.

    `start` is where the message begins in the text, after what names the process.
    """

    file: str
    line: int
    text: str
    start: int = field(default=0, compare=False, repr=False)

    @property
    def message(self) -> str:
        """What the line says, without the process that says it."""
        return self.text[self.start :]

    def document(self) -> dict[str, str | int]:
        """The line as JSON."""
        return {"file": self.file, "line": self.line, "text": self.text}


@dataclass(frozen=True)
class Candidate:
    """One of several possible causes, and how to decide between them."""

    cause: str
    decided_by: str

    def document(self) -> dict[str, str]:
        """The cause as JSON."""
        return {"cause": self.cause, "decided_by": self.decided_by}


@dataclass(frozen=True)
class Fix:
    """A remedy in words, in the form of text.KEY, and commands to paste."""

    text: str
    commands: tuple[str, ...] = ()

    def at(self, key: str) -> Fix:
        """The remedy where the inventory has the settings at `key`."""
        return Fix(keyed(self.text, key), self.commands)


@dataclass(frozen=True)
class Finding:
    """A cause, the ranks (host:pid) that show it, and what to do.

    `code` is stable, and the cause itself or more precise; `data` holds what the log shows of it.
    `candidates` is empty if the log alone proves the cause.
    """

    cause: Cause | Other
    code: str
    severity: Severity
    summary: str
    ranks: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    candidates: tuple[Candidate, ...]
    fix: Fix
    data: Data = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class RankVerdict:
    """The verdict on one process.

    `devices` are the RDMA devices that NCCL opened; `channels` counts the channel lines of each
    device or, under Socket, interface: what has none carries nothing. `cause` is None if nothing
    is wrong. `settings` are the NCCL_ variables that choose a network, as the process printed them.
    """

    host: str
    pid: int
    rank: int | None
    nccl: str | None
    transport: Transport
    devices: tuple[str, ...]
    channels: dict[str, int]
    cause: Cause | None
    evidence: tuple[Evidence, ...]
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """host:pid, as in a finding's ranks."""
        return f"{self.host}:{self.pid}"


@dataclass(frozen=True)
class LogVerdict:
    """All ranks joined; the findings come worst first.

    `unrecognized` are the files without a known line of NCCL or an engine. The verdict is on the
    last start in each file; `earlier` has the number of starts before it, by transport.
    """

    ranks: tuple[RankVerdict, ...]
    transport: Transport
    cause: Cause | None
    findings: tuple[Finding, ...]
    unrecognized: tuple[str, ...] = ()
    earlier: dict[Transport, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a finding is a FAIL."""
        return any(f.severity == "FAIL" for f in self.findings)

    def values(self, variable: str, ranks: Collection[str]) -> dict[str, str]:
        """A variable's value by rank (host:pid), for those of `ranks` that printed one."""
        return {
            rank.name: rank.settings[variable]
            for rank in self.ranks
            if rank.name in ranks and variable in rank.settings
        }

    def at(self, key: str) -> LogVerdict:
        """The verdict with the remedies where the inventory has the settings at `key`."""
        return replace(self, findings=tuple(replace(f, fix=f.fix.at(key)) for f in self.findings))

    def document(self) -> dict[str, Any]:
        """The JSON document of `doctor --log --json`; part of the contract that scripts rely on.

        `ranks` has each rank of the last start, up to 512 (processes.py).
        """
        return {
            "ranks": [
                {
                    "host": rank.host,
                    "pid": rank.pid,
                    "rank": rank.rank,
                    "nccl": rank.nccl,
                    "transport": rank.transport,
                    "devices": rank.devices,
                    "cause": rank.cause,
                    "evidence": [line.document() for line in rank.evidence],
                }
                for rank in self.ranks
            ],
            "transport": self.transport,
            "cause": self.cause,
            "findings": [
                {
                    "cause": finding.cause,
                    "code": finding.code,
                    "severity": finding.severity,
                    "summary": finding.summary,
                    "data": finding.data,
                    "ranks": finding.ranks,
                    "evidence": [line.document() for line in finding.evidence],
                    "candidates": [candidate.document() for candidate in finding.candidates],
                    "fix": {"text": finding.fix.text, "commands": finding.fix.commands},
                }
                for finding in self.findings
            ],
            "unrecognized": self.unrecognized,
            "earlier_starts": {
                "count": sum(self.earlier.values()),
                "transports": self.earlier,
            },
        }
