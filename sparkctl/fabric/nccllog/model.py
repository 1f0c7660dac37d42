"""What the log reader answers: a verdict per rank and over all, and findings with their cure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection

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
    "memory-registration",
    "mixed-transports",
    "one-half-only",
    "plugin-only",
    "unknown",
]

# What a finding tells beside the causes; the log's and the ranks' cause is then `unknown`.
Beside = Literal["nccl-versions", "vllm"]


@dataclass(frozen=True)
class Evidence:
    """A line of a log, without prefixes and colours; `line` counts from 1."""

    file: str
    line: int
    text: str


@dataclass(frozen=True)
class Candidate:
    """One of the causes that the log cannot tell apart, and what decides."""

    cause: str
    decided_by: str


@dataclass(frozen=True)
class Fix:
    """A remedy in words, and commands to paste."""

    text: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A cause, the ranks (host:pid) that show it, and what to do.

    `candidates` is empty where the log alone proves the cause.
    """

    cause: Cause | Beside
    severity: Severity
    summary: str
    ranks: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    candidates: tuple[Candidate, ...]
    fix: Fix


@dataclass(frozen=True)
class RankVerdict:
    """What one process did.

    `devices` are the RDMA devices that NCCL opened; `channels` counts the channel lines of each
    device or, under Socket, interface: what has none carries nothing. `cause` is None when all is
    well. `settings` are the NCCL_ variables that choose a network, as the process printed them.
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

    `unrecognized` are the files that have no line of NCCL or vLLM that is known.
    """

    ranks: tuple[RankVerdict, ...]
    transport: Transport
    cause: Cause | None
    findings: tuple[Finding, ...]
    unrecognized: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything has to be mended."""
        return any(f.severity == "FAIL" for f in self.findings)

    def values(self, variable: str, ranks: Collection[str]) -> dict[str, str]:
        """What those ranks (host:pid, a finding's) printed as this variable's value, by rank; a
        rank that printed none is not in it.
        """
        told = {r.name: r.settings.get(variable) for r in self.ranks if r.name in ranks}
        return {name: value for name, value in told.items() if value is not None}

    def document(self) -> dict[str, Any]:
        """The JSON document of `doctor --log --json`; scripts rely on its form."""
        document = asdict(self)
        for rank in document["ranks"]:
            del rank["channels"], rank["settings"]
        return document
