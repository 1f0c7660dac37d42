"""`status`: what runs where since when, Ray's view of it, and whether vLLM answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sparkctl.engines.vllm.recipe import NONE
from sparkctl.errors import SparkctlError
from sparkctl.fabric.cabling import without_prefix
from sparkctl.facts.answers import Failed
from sparkctl.facts.unread import Unread
from sparkctl.inventory.layers import load_layers
from sparkctl.operations import health
from sparkctl.operations.api import ask_api, endpoint
from sparkctl.operations.raytable import ray_table
from sparkctl.plan.desired import Wish, make_wish
from sparkctl.plan.diff import processes
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from sparkctl.facts.groups import Holder
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session

# Part of the contract that scripts rely on.
RayState = Literal["unknown", "not running", "started", "alive", "not in Ray's table"]
ANSWER = 30.0  # seconds for /version and /v1/models
SHOWN = ("ours", "gpu", "memory", "state")  # the groups of a node's facts that make its row
FABRIC = {"net", "ib"}  # those that its place in Ray's table is known by


@dataclass(frozen=True)
class Running:
    """A process of the cluster; `since` is in seconds since the epoch."""

    pid: int
    role: str
    since: float
    run: str
    command: str


@dataclass
class NodeStatus:
    """One node: how it is reached, its fabric address, what runs there.

    `error`: why it was not `reached`, or why no facts could be read there.
    `unread`: why a group of its facts (node/probe.py) could not be read. What is known by it is
    None then, or "unknown", and `processes` is empty.
    """

    name: str
    role: str
    host: str
    error: SparkctlError | None = None
    reached: bool = True
    fabric_address: str | None = None
    ray: RayState = "unknown"
    ranks: int | None = None
    gpu: str | None = None
    memory_available: int | None = None  # bytes
    processes: list[Running] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def gaps(self) -> dict[str, str]:
        """What of its row is not known, and why."""
        return {group: why for group, why in self.unread.items() if group in SHOWN}


@dataclass
class Status:
    """The cluster as found; `ray` and `vllm` have an `error` with its `code` where they failed."""

    cluster: str
    nodes: list[NodeStatus]
    imitated: list[str]
    ray: dict[str, Any] = field(default_factory=dict)
    vllm: dict[str, Any] = field(default_factory=dict)
    lease: Holder | None = None  # who changes the cluster now, see node/lease.py

    @property
    def healthy(self) -> bool:
        """Every node reached and read, alive in Ray, and vLLM answering."""
        nodes = all(n.error is None and not n.gaps and n.ray == "alive" for n in self.nodes)
        return nodes and not self.vllm.get("error") and bool(self.vllm.get("models"))


def status(session: Session, *, deep: bool = False) -> Status:
    """Look at every node that can be reached; with `deep` a real generation is asked for."""
    inventory = session.inventory
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    probed = session.probe(reached)
    errors = {**session.pool.errors, **probed.failed}
    nodes = [_node(n, errors.get(n.name), session) for n in inventory.nodes]
    found = Status(inventory.cluster, nodes, list(inventory.imitated))
    states = (f.state for f in session.facts.values())
    found.lease = next(
        (s.lease for s in states if not isinstance(s, Unread) and s.lease is not None), None
    )
    head = session.facts.get(inventory.head.name)
    if head is None:
        error = errors[inventory.head.name]
        found.vllm = {"error": f"no facts of the head: {error}", "code": error.code}
        return found
    _ask_ray(session, found, errors)
    _ask_vllm(session, found, deep)
    return found


def _node(of: Node, error: SparkctlError | None, session: Session) -> NodeStatus:
    reached = of.name not in session.pool.errors
    node = NodeStatus(of.name, of.role or "", of.host, error, reached)
    facts = session.facts.get(of.name)
    if facts is None:
        return node
    node.unread = {group: gap.reason for group, gap in facts.gaps.items()}
    if not isinstance(facts.ours, Unread):
        node.ray = "started" if processes(facts, "ray") else "not running"
        node.ranks = sum(p.rank for p in facts.ours)
        node.processes = [
            Running(p.pid, p.role, p.since, p.run, command_line(p.command, 1024))
            for p in facts.ours
        ]
    _gpu(node, facts)
    if not isinstance(facts.memory, Unread):
        node.memory_available = facts.memory.get("MemAvailable")
    return node


def _gpu(node: NodeStatus, facts: NodeFacts) -> None:
    if isinstance(facts.gpu, Unread):
        return
    node.gpu = ", ".join(g.name for g in facts.gpu.gpus or ()) or None
    if facts.gpu.gpus is None:
        node.unread["gpu"] = facts.gpu.gpu_error or "nvidia-smi failed"


def _ask_ray(session: Session, found: Status, errors: Mapping[str, SparkctlError]) -> None:
    """Read Ray's node table, where Ray runs on the head."""
    if any(n.ray == "not running" for n in found.nodes if n.role == "head"):
        return
    hidden = {n.name for n in found.nodes if n.role != "head" and FABRIC & n.unread.keys()}
    try:
        wish = _wish(session, errors.keys() | hidden)
        table = ray_table(session, wish)
    except SparkctlError as error:
        found.ray = {"error": str(error), "code": error.code}
        return
    if isinstance(table, Failed):
        found.ray = {"error": table.error, "code": "ray-table"}
        return
    found.ray = table.model_dump(include={"ray", "nodes", "groups"})
    _match(found, wish, {n.address for n in table.nodes if n.alive})


def _match(found: Status, wish: Wish, alive: Set[str]) -> None:
    """Give each node its state in Ray's table, by its fabric address."""
    for node in found.nodes:
        if part := wish.nodes.get(node.name):
            # While another node is away, the socket may seem to be another half's.
            own = [part.choice.address, *map(without_prefix, part.choice.addresses)]
            node.fabric_address = next((a for a in own if a in alive), part.choice.address)
            if node.fabric_address in alive:
                node.ray = "alive"
            elif node.ray == "started":
                node.ray = "not in Ray's table"


def _wish(session: Session, without: Set[str]) -> Wish:
    inventory = session.inventory
    known = inventory.model_copy(
        update={
            "nodes": [n for n in inventory.nodes if n.name not in without],
            # vLLM's argv is not looked at: a model's disk that hangs must not hide Ray.
            "vllm": inventory.vllm.model_copy(update={"recipe": NONE}),
        }
    )
    return make_wish(known, load_layers(inventory, session.base), session.facts)


def _ask_vllm(session: Session, found: Status, deep: bool) -> None:
    inventory = session.inventory
    head = session.facts[inventory.head.name]
    running = None if isinstance(head.ours, Unread) else processes(head, "vllm")
    if running == []:
        found.vllm = {"error": "not running", "code": "not-running"}
        return
    try:
        if deep:
            asked, _ = health.report(session)
        else:
            asked = ask_api(session, tokens=0, timeout=0, bound=ANSWER)
        found.vllm = asked.model_dump(exclude_unset=True)
    except SparkctlError as error:
        found.vllm = {"error": str(error), "code": error.code}
    if found.vllm.get("error"):
        found.vllm.setdefault("code", found.vllm.get("health", {}).get("state", "failing"))
    if running:
        found.vllm["since"] = min(p.since for p in running)
    found.vllm["endpoint"] = endpoint(inventory)
