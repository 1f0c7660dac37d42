"""What is collected besides the nodes' facts, by node; Unread if that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.engines.vllm.rootcause import Tracer
    from sparkctl.fabric.nccllog.model import LogVerdict
    from sparkctl.facts.answers import Completion, Failed, Health, Import, RayTable
    from sparkctl.facts.containers import BoxLook
    from sparkctl.facts.groups import Counters
    from sparkctl.facts.peeranswers import Peers
    from sparkctl.facts.unread import Unread
    from sparkctl.operations.starting import Startup


@dataclass(frozen=True)
class EngineLog:
    """vLLM's log: the verdict on NCCL's lines, its path, its last 400 lines, and the lines around
    errors with their numbers.

    `cut` is the number of the last line that was read if there are too many, else 0.
    """

    verdict: LogVerdict
    path: str
    cut: int
    tail: tuple[str, ...]
    errors: tuple[tuple[int, str], ...] = ()

    @property
    def traced(self) -> Tracer:
        """What the log shows of a failure, or of an engine that hangs."""
        from sparkctl.engines.vllm.rootcause import trace  # which few runs need

        return trace(self.errors or enumerate(self.tail, 1))


@dataclass(frozen=True)
class Generation:
    """A completion, the engine's health, and every node's counters before and after."""

    answer: Completion
    health: Health
    before: Mapping[str, Counters]
    after: Mapping[str, Counters]


@dataclass(frozen=True)
class Api:
    """The API as the controller reaches it; `error` is None if it answers."""

    url: str
    error: str | None


@dataclass(frozen=True)
class Looks:
    """One field for each Source (doctor/check.py), and `start`."""

    peers: Mapping[str, Peers | Unread] = field(default_factory=dict)
    imports: Mapping[str, Mapping[str, Import] | Unread] = field(default_factory=dict)
    inside: Mapping[str, BoxLook | Unread] = field(default_factory=dict)
    ray: Mapping[str, Failed | RayTable | Unread] = field(default_factory=dict)
    log: Mapping[str, EngineLog | Unread] = field(default_factory=dict)
    generation: Mapping[str, Generation | Unread] = field(default_factory=dict)
    api: Mapping[str, Api | Unread] = field(default_factory=dict)
    # How far a start is that nobody has noted as ready; it is read first.
    start: Mapping[str, Startup | Unread] = field(default_factory=dict)
