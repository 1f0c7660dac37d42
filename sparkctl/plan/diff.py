"""What differs between the desired state and what runs; pure.

The soundness rule: a layer is kept only when everything below it is kept. vLLM depends on every
node's Ray, a worker's Ray on the head's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparkctl.facts.unread import known
from sparkctl.plan.record import records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.node import NodeFacts
    from sparkctl.facts.processes import OurProcess
    from sparkctl.plan.desired import NodeWish, Wish

SHOWN = 5  # changed settings in one line


@dataclass(frozen=True)
class Change:
    """One thing that `up` would do on a node, and why."""

    node: str
    what: str  # "Ray head", "Ray worker", "vLLM"
    action: Literal["start", "restart"]
    why: str
    unit: Literal["ray", "vllm"]

    def __str__(self) -> str:
        return f"{self.action} {self.what} on {self.node}: {self.why}"


@dataclass(frozen=True)
class Difference:
    """The changes in the order in which they are made; none when nothing differs."""

    changes: tuple[Change, ...]
    ray_nodes: tuple[str, ...]
    vllm: bool

    def __bool__(self) -> bool:
        return bool(self.changes)


def processes(facts: NodeFacts, role: str) -> list[OurProcess]:
    """The cluster's processes of one role ("ray" or "vllm") on a node.

    Raises Missing where they could not be read.
    """
    return [p for p in known(facts.ours) if p.role == role]


def _changed(facts: NodeFacts, unit: str, argv: Sequence[str], wish: NodeWish) -> str | None:
    """How a unit's settings differ from those it was started with; None when they do not."""
    record = records(facts).get(unit)
    if record is None:
        return "the record of its start is missing"
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
    """The changes that turn what runs into the desired state.

    `unsound` (node name to why) and `vllm` add what only a look at the running cluster shows.
    Raises Missing where what runs on a node could not be read.
    """
    head = wish.head.node.name
    broken = _broken_rays(wish, facts, unsound or {})
    order = [head, *(name for name in wish.nodes if name != head)]
    changes = [
        _ray_change(wish, name, facts[name], broken[name]) for name in order if name in broken
    ]
    problem = _vllm_problem(wish.head, facts[head]) or vllm
    if broken and not problem:
        problem = "its Ray is being restarted"
    if problem:
        changes.append(_change(head, "vllm", "vLLM", facts[head], problem))
    ray_nodes = tuple(c.node for c in changes if c.unit == "ray")
    return Difference(tuple(changes), ray_nodes, bool(problem))


def _broken_rays(
    wish: Wish, facts: Mapping[str, NodeFacts], unsound: Mapping[str, str]
) -> dict[str, str]:
    """The nodes whose Ray cannot be kept, and why; without the head none can."""
    found = {
        name: problem
        for name, part in wish.nodes.items()
        if (problem := _ray_problem(part, facts[name]) or unsound.get(name))
    }
    if wish.head.node.name in found:
        return dict.fromkeys(wish.nodes, "the head is being restarted") | found
    return found


def _ray_change(wish: Wish, name: str, facts: NodeFacts, why: str) -> Change:
    what = "Ray head" if name == wish.head.node.name else "Ray worker"
    return _change(name, "ray", what, facts, why)


def _change(
    node: str, unit: Literal["ray", "vllm"], what: str, facts: NodeFacts, why: str
) -> Change:
    return Change(node, what, "restart" if processes(facts, unit) else "start", why, unit)
