"""A check as a value: a stable id, a scope, and a pure function from the view to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from sparkctl.doctor.finding import Finding
from sparkctl.doctor.view import View


class Source(Enum):
    """What has to be gathered for a check, beside the nodes' facts (doctor/gather.py)."""

    PEERS = "peers"  # pings and connections between the nodes
    IMPORTS = "imports"  # importing the runtime's packages
    RAY = "ray"  # Ray's own node table
    LOG = "log"  # NCCL's lines in vLLM's log
    GENERATION = "generation"  # a few tokens, with the counters before and after
    API = "api"  # the API as the controller sees it


@dataclass(frozen=True)
class Check:
    """One check.

    A `node` check is called with each node's name, a `pair` check with each two names, a
    `cluster` check with none. `preflight`: `up` runs it before a start.
    """

    id: str
    scope: str
    run: Callable[..., Iterable[Finding]]
    needs: tuple[Source, ...] = ()
    preflight: bool = False


def subjects(check: Check, view: View) -> list[tuple[str, ...]]:
    """The arguments of each call of this check, in the inventory's order."""
    names = view.names
    if check.scope == "node":
        return [(name,) for name in names]
    if check.scope == "pair":
        return [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return [()]
