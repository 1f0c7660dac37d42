"""A check as a value: a stable id, a scope, and a pure function from a snapshot to findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import TYPE_CHECKING

from sparkctl.doctor.applies import always
from sparkctl.doctor.finding import Finding, unread
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sparkctl.doctor.snapshot import Snapshot


class Source(Enum):
    """What a check requires besides the nodes' facts (doctor/collect.py)."""

    PEERS = "peers"  # pings and connections between the nodes
    INSIDE = "inside"  # a look into the container
    IMPORTS = "imports"  # importing the runtime's packages
    RAY = "ray"  # Ray's own node table
    LOG = "log"  # NCCL's lines in the engine's log
    GENERATION = "generation"  # a few tokens, with the counters before and after
    API = "api"  # the API as the controller sees it


@dataclass(frozen=True)
class Check:
    """One check.

    A `node` check is called with the name of each node, a `pair` check with the names of each two,
    a `cluster` check with none, each for one service at a time. `preflight`: `up` runs it before a
    start. `contact`: it decides whether a node answers, and nothing about the node itself. `lacks`:
    why it does not concern a service, empty if it does (doctor/applies.py).
    """

    id: str
    scope: str
    run: Callable[..., Iterable[Finding]]
    needs: tuple[Source, ...] = ()
    preflight: bool = False
    contact: bool = False
    lacks: Callable[[Snapshot], str] = always


def subjects(check: Check, snapshot: Snapshot) -> list[tuple[str, ...]]:
    """The arguments of each call of a check, in the inventory's order.

    Each pair has at least one of the nodes asked about.
    """
    if check.scope == "node":
        return [(name,) for name in snapshot.names]
    if check.scope == "pair":
        asked, every = set(snapshot.names), [n.name for n in snapshot.inventory.nodes]
        return [(a, b) for a, b in combinations(every, 2) if a in asked or b in asked]
    return [()]


def per_node(snapshot: Snapshot, look: Callable[[str], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a cluster check on each known node: what one node lacks hides no other.

    Nodes are compared with the head: if it is asked about, all reachable nodes are.
    """
    for name in snapshot.reached if snapshot.inventory.head in snapshot.nodes else snapshot.known:
        try:
            yield from look(name)
        except Missing as error:
            yield unread(error, node=name)
