"""`status`: what runs where since when, as units and as each service answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sparkctl.errors import ConnectError, SparkctlError
from sparkctl.facts.unread import Unread
from sparkctl.node.unitid import node_of
from sparkctl.operations.identity import known_id
from sparkctl.operations.servicestatus import RAY, ServiceStatus, service_status
from sparkctl.operations.starting import Startup, startup
from sparkctl.operations.unitstatus import UnitStatus, missing, statuses
from sparkctl.plan.departed import departed
from sparkctl.plan.observed import Seen
from sparkctl.plan.recorded import addresses
from sparkctl.remote.fanout import check_all, each
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.groups import Holder
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Node, View
    from sparkctl.node.units import Unit
    from sparkctl.operations.session import Session
    from sparkctl.plan.record import Record

# Part of the contract that scripts rely on.
RayState = Literal["unknown", "not running", "started", "alive", "not in Ray's table"]
LOST: Literal["not in Ray's table"] = "not in Ray's table"
RECORD = "record"  # what is unread of a node whose record cannot be understood
# The groups of a node's facts that make its row, and its record.
SHOWN = ("ours", "gpu", "memory", "state", RECORD)


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
    `unread`: why a group of its facts (node/probe.py), or its `record`, could not be read. What is
    known by it is None then, or "unknown", and `processes` is empty. `ranks` is also None where
    none is recognized and the engine's may have no title of their own (node/ranks.py).
    """

    name: str
    role: str
    host: str
    service: str = ""  # that it serves
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
    """The cluster as found; `id` is empty for an older sparkctl's, or where nothing was started."""

    cluster: str
    nodes: list[NodeStatus]
    imitated: list[str]
    id: str = ""
    units: list[UnitStatus] = field(default_factory=list)
    services: dict[str, ServiceStatus] = field(default_factory=dict)
    lease: Holder | None = None  # who changes the cluster now, see node/lease.py
    departed: dict[str, str] = field(default_factory=dict)  # nodes that left the inventory: hosts

    @property
    def departed_services(self) -> dict[str, list[str]]:
        """The services that run and are not in the inventory, with the nodes where they do."""
        left = [u for u in self.units if u.pids and u.service not in self.services]
        return {
            name: list(dict.fromkeys(u.node for u in left if u.service == name))
            for name in dict.fromkeys(u.service for u in left)
        }

    def uses_ray(self, node: NodeStatus) -> bool:
        """Whether the node's service uses Ray; of a node without a service, whether any does."""
        return any(s.uses_ray for s in self.services.values() if node.service in ("", s.name))

    def units_of(self, node: NodeStatus) -> list[UnitStatus]:
        """The node's units, of services that the inventory has."""
        return [u for u in self.units if u.node == node.name and u.service in self.services]

    def pending(self, node: NodeStatus) -> bool:
        """Whether the inventory has the node since the last `up`, and it runs nothing yet."""
        units = self.units_of(node)
        return bool(units) and all(unit.pending for unit in units)

    @property
    def healthy(self) -> bool:
        """Every node reached and read, and alive in Ray where its service uses it, unless it is
        pending; every service ready.
        """
        nodes = all(
            n.error is None
            and not n.gaps
            and (n.ray == "alive" or not n.service or not self.uses_ray(n) or self.pending(n))
            for n in self.nodes
        )
        return nodes and all(s.state == "ready" for s in self.services.values())


def status(session: Session, *, deep: bool = False) -> Status:
    """Look at every node that can be reached; with `deep` a real generation is asked for.

    Raises Missing where a newer sparkctl started the cluster.
    """
    inventory = session.inventory
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    errors = {**session.pool.errors, **session.probe(reached).failed}
    seen = Seen(inventory, session.facts, errors)
    leases = {
        name: facts.state.lease
        for name, facts in session.facts.items()
        if not isinstance(facts.state, Unread) and facts.state.lease
    }
    units = statuses(seen, lambda name, r, lives: _look(session, name, r, lives=lives), leases)
    found = Status(
        cluster=inventory.cluster,
        id=known_id(seen.states),
        nodes=[_node(n, errors.get(n.name), session) for n in inventory.nodes],
        units=[*units, *missing(inventory, seen, units, leases)],
        imitated=list(inventory.imitated),
        lease=next(iter(leases.values()), None),
        departed={n.name: n.host for n in departed(inventory, seen.states.values())},
    )

    def ask(view: View) -> ServiceStatus:
        return service_status(session, view, seen.recorded, found.units, errors, deep=deep)

    found.services = check_all(each(inventory.views, ask, key=lambda view: view.service))
    for view in inventory.views:
        _match(view, found, seen.recorded, session.facts)
    for row in found.nodes:
        if row.error is None and not row.gaps and row.name in seen.gaps:
            row.unread[RECORD] = seen.gaps[row.name]
        if not found.uses_ray(row):
            row.ranks = row.ranks or None
    return found


def _look(session: Session, name: str, record: Record, *, lives: bool) -> Startup:
    node = node_of(name)
    if node not in session.pool.connections:
        raise ConnectError("not connected", node=node, code="not-connected")
    connection = session.pool.connections[node]
    return startup(connection, session.inventory.cluster, record, lives=lives)


def _node(of: Node, error: SparkctlError | None, session: Session) -> NodeStatus:
    view = session.inventory.view_of(of)
    reached = of.name not in session.pool.errors
    service = view.service if view else ""
    node = NodeStatus(of.name, of.role or "", of.host, service, error, reached)
    facts = session.facts.get(of.name)
    if facts is None:
        return node
    node.unread = {group: gap.reason for group, gap in facts.gaps.items()}
    if not isinstance(facts.ours, Unread):
        node.ray = "started" if any(p.role == RAY for p in facts.ours) else "not running"
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


def _match(
    view: View, found: Status, units: Mapping[str, Unit], facts: Mapping[str, NodeFacts]
) -> None:
    """Give each node of a service its state in Ray's table, by its fabric address."""
    table = found.services[view.service].ray.table
    if table is None:
        return
    alive = {n.address for n in table.nodes if n.alive}
    possible = addresses(view, units, facts)
    for node in found.nodes:
        if own := possible.get(node.name) if node.service == view.service else None:
            node.fabric_address = next((a for a in own if a in alive), own[0])
            if node.fabric_address in alive:
                node.ray = "alive"
            elif node.ray == "started" and found.services[view.service].start is None:
                node.ray = LOST
