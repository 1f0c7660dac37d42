"""What was looked at beside the nodes' facts, by node; Unread where a look failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.fabric.nccllog.model import LogVerdict
    from sparkctl.facts.answers import Completion, Failed, Health, Import, Peers, RayTable
    from sparkctl.facts.groups import Counters
    from sparkctl.facts.unread import Unread


@dataclass(frozen=True)
class EngineLog:
    """vLLM's log: the verdict on NCCL's lines, its path, and its last 400 lines.

    `cut` is the number of the last line that was read where there are too many, else 0.
    """

    verdict: LogVerdict
    path: str
    cut: int
    tail: tuple[str, ...]


@dataclass(frozen=True)
class Generation:
    """A completion that was asked for, and every node's counters before and after it."""

    answer: Completion
    health: Health
    before: Mapping[str, Counters]
    after: Mapping[str, Counters]


@dataclass(frozen=True)
class Api:
    """The API as the controller sees it; `error` is None where it answers."""

    url: str
    error: str | None


@dataclass(frozen=True)
class Looks:
    """One field a Source (doctor/check.py)."""

    peers: Mapping[str, Peers | Unread] = field(default_factory=dict)
    imports: Mapping[str, Mapping[str, Import] | Unread] = field(default_factory=dict)
    ray: Mapping[str, Failed | RayTable | Unread] = field(default_factory=dict)
    log: Mapping[str, EngineLog | Unread] = field(default_factory=dict)
    generation: Mapping[str, Generation | Unread] = field(default_factory=dict)
    api: Mapping[str, Api | Unread] = field(default_factory=dict)
