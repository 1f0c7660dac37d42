"""What differs between the wish and what runs; pure.

The soundness rule: a layer is kept only when everything below it is kept. vLLM rests on every
node's Ray, a worker's Ray rests on the head's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.cluster.record import records
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.cluster.wish import NodeWish, Wish
    from sparkctl.facts.groups import OurProcess
    from sparkctl.facts.node import NodeFacts

SHOWN = 5  # changed settings in one line


@dataclass(frozen=True)
class Change:
    """One thing that `up` would do on a node, and why."""

    node: str
    what: str  # "Ray head", "Ray worker", "vLLM"
    action: str  # "start" or "restart"
    why: str

    def __str__(self) -> str:
        return f"{self.action} {self.what} on {self.node}: {self.why}"


@dataclass(frozen=True)
class Difference:
    """The changes in the order in which they would be made; none when all is as wished."""

    changes: tuple[Change, ...]
    ray_nodes: tuple[str, ...]
    vllm: bool

    def __bool__(self) -> bool:
        return bool(self.changes)


def processes(facts: NodeFacts, role: str) -> list[OurProcess]:
    """Our living processes of one role ("ray" or "vllm") on a node."""
    return [p for p in known(facts.ours) if p.role == role]


def _changed(facts: NodeFacts, unit: str, argv: Sequence[str], wish: NodeWish) -> str | None:
    """How a unit's settings differ from those that it was started with; None when they do not."""
    record = records(facts).get(unit)
    if record is None:
        return "what it was started with is not recorded"
    found = record.changes(argv, wish.values)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more if found else None


def _ray_problem(wish: NodeWish, facts: NodeFacts) -> str | None:
    """Why this node's Ray cannot be kept; None when it can."""
    running = processes(facts, "ray")
    if not running:
        return "not running"
    needed = ("raylet", "gcs_server") if wish.node.role == "head" else ("raylet",)
    for program in needed:
        if not any(p.command.partition(" ")[0].endswith(program) for p in running):
            return f"its {program} died"
    return _changed(facts, "ray", wish.ray_argv, wish)


def _vllm_problem(wish: NodeWish, facts: NodeFacts) -> str | None:
    if not processes(facts, "vllm"):
        return "not running"
    if not any("serve" in p.command.split() for p in processes(facts, "vllm")):
        return "its API server died"
    return _changed(facts, "vllm", wish.vllm_argv, wish)


def compare(
    wish: Wish,
    facts: Mapping[str, NodeFacts],
    *,
    unsound: Mapping[str, str] | None = None,
    vllm: str | None = None,
) -> Difference:
    """The changes that turn what runs into the wish.

    `unsound` (node name to why) and `vllm` add what only a look at the running cluster shows.
    """
    unsound = unsound or {}
    head = wish.head.node.name
    broken: dict[str, str] = {}
    for name, node_wish in wish.nodes.items():
        problem = _ray_problem(node_wish, facts[name]) or unsound.get(name)
        if problem:
            broken[name] = problem
    if head in broken:
        for name in wish.nodes:
            broken.setdefault(name, "the head is being restarted")
    changes = []
    for name in [head, *(n for n in wish.nodes if n != head)]:
        if name in broken:
            action = "restart" if processes(facts[name], "ray") else "start"
            what = "Ray head" if name == head else "Ray worker"
            changes.append(Change(name, what, action, broken[name]))
    problem = _vllm_problem(wish.head, facts[head]) or vllm
    if broken and not problem:
        problem = "its Ray is being restarted"
    if problem:
        action = "restart" if processes(facts[head], "vllm") else "start"
        changes.append(Change(head, "vLLM", action, problem))
    return Difference(
        tuple(changes), tuple(c.node for c in changes if c.what != "vLLM"), bool(problem)
    )
