"""What differs between the wish and what runs; pure.

The soundness rule: a layer is kept only when everything below it is kept. vLLM rests on every
node's Ray, a worker's Ray rests on the head's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sparkctl.cluster.places import APPLIED
from sparkctl.cluster.wish import NodeWish, Wish


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


def processes(facts: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    """Our living processes of one role ("ray" or "vllm") on a node."""
    return [p for p in facts["ours"] if p["role"] == role]


def applied(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What our last `up` wrote down on this node; empty when there is nothing readable."""
    try:
        value = json.loads(facts["state"]["files"][APPLIED] or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _ray_problem(wish: NodeWish, facts: Mapping[str, Any]) -> str | None:
    """Why this node's Ray cannot be kept; None when it can."""
    running = processes(facts, "ray")
    if not running:
        return "not running"
    needed = ("raylet", "gcs_server") if wish.node.role == "head" else ("raylet",)
    for program in needed:
        if not any(p["command"].split()[:1][0].endswith(program) for p in running):
            return f"its {program} died"
    if applied(facts).get("ray") != wish.ray_digest:
        return "its settings changed"
    return None


def _vllm_problem(wish: NodeWish, facts: Mapping[str, Any]) -> str | None:
    if not processes(facts, "vllm"):
        return "not running"
    if applied(facts).get("vllm") != wish.vllm_digest:
        return "its settings changed"
    if not any("serve" in p["command"].split() for p in processes(facts, "vllm")):
        return "its API server died"
    return None


def compare(
    wish: Wish, facts: Mapping[str, Mapping[str, Any]], *, unsound: Mapping[str, str] | None = None
) -> Difference:
    """The changes that turn what runs into the wish.

    `unsound` adds what only a look at the running cluster shows: node name, or "vllm", to why.
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
            broken.setdefault(name, "the head is started anew")
    changes = []
    for name in [head, *(n for n in wish.nodes if n != head)]:
        if name in broken:
            action = "restart" if processes(facts[name], "ray") else "start"
            what = "Ray head" if name == head else "Ray worker"
            changes.append(Change(name, what, action, broken[name]))
    problem = _vllm_problem(wish.head, facts[head]) or unsound.get("vllm")
    if broken and not problem:
        problem = "Ray under it is started anew"
    if problem:
        action = "restart" if processes(facts[head], "vllm") else "start"
        changes.append(Change(head, "vLLM", action, problem))
    return Difference(
        tuple(changes), tuple(c.node for c in changes if c.what != "vLLM"), bool(problem)
    )
