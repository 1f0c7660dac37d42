"""`down`: stop the engines, what carries them, then remove the files: only what is sparkctl's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.engines.table import ENGINES
from sparkctl.errors import RemoteError
from sparkctl.facts.answers import Cleared
from sparkctl.facts.calls import CLEAR, JOIN, STOP
from sparkctl.node.unitid import node_of, service_of
from sparkctl.operations import departed, identity
from sparkctl.operations.ending import STOP_GRACE, remaining
from sparkctl.operations.lease import hold
from sparkctl.plan.paths import temp_dir
from sparkctl.plan.record import State
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.errors import SparkctlError
    from sparkctl.events import Reporter
    from sparkctl.facts.answers import Stopped
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.operations.session import Session


@dataclass
class DownReport:
    """What was stopped and removed on each node, and the errors by node."""

    cluster: str
    stopped: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do and no node failed."""
        return not (self.stopped or self.removed or self.failed)


def down(
    session: Session,
    reporter: Reporter,
    *,
    services: Sequence[str] = (),
    break_lock: bool = False,
) -> DownReport:
    """Stop the cluster, or these services of it, and check that it is gone; unreachable nodes are
    in `failed`. Without a service that includes the nodes that left the inventory.

    Each node itself finds what sparkctl started there, so no facts are needed. A node with a
    process left, or that fails, keeps its files. Raises LockedError when another command holds the
    lease (unless `break_lock`), LeaseLostError when one takes it over, ForeignClusterError for
    another account's cluster of this name, or two of them.
    """
    inventory = session.inventory
    report = DownReport(inventory.cluster)
    chosen = [*_nodes(inventory, services)]
    report.failed.update({n: e for n, e in session.pool.errors.items() if n in _names(chosen)})
    # Units of a service may still run on a node that the inventory gives to another.
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    heads = {view.head.name for view in inventory.views}
    where = {"temp_dir": temp_dir(inventory.cluster), "grace": STOP_GRACE}
    kinds = sorted({engine.kind for engine in ENGINES.values()})
    serving = {"roles": kinds, "grace": STOP_GRACE}
    with hold(session, reporter.note, "down", reached, force=break_lock, partial=True) as failed:
        held = [n for n in reached if n.name not in failed]
        states = departed.states(session, held)
        identity.same_name(inventory.cluster, states)
        if services:
            report.failed.update({n: e for n, e in failed.items() if n in _names(chosen)})
            shared = _shared(states, services)
            others = bool(shared) or len(states) < len(inventory.nodes)
            # With the last service goes what the nodes of those before have kept.
            ending = [n for n in held if n.name in _names(chosen) or not others]
            ending = [n for n in ending if n.name not in shared]
        else:
            report.failed.update(failed)
            shared = {}
            ending = [*held, *_departed(session, reporter, states)]
            report.failed.update(session.departed.errors)
            heads |= _needed(states) & session.departed.nodes.keys()
        for title, planned, call, request in (
            ("stop the services", [n for n in held if shared.get(n.name)], STOP, shared),
            ("stop the engines", ending, STOP, serving),
            ("stop the workers", [n for n in ending if n.name not in heads], CLEAR, where),
            ("stop the heads", [n for n in ending if n.name in heads], CLEAR, where),
        ):
            nodes = [n for n in planned if n.name not in report.failed]
            if nodes:
                reporter.step(title)
                own = shared if request is shared else dict.fromkeys(_names(nodes), request)
                if not _end(session, nodes, call, own, report):
                    reporter.end("failed")
        if services and others:
            _keep(session, ending, states, report)
    return report


def _nodes(inventory: Inventory, services: Sequence[str]) -> Sequence[Node]:
    """The nodes of these services; all without one."""
    if not services:
        return inventory.nodes
    return [n for view in inventory.views if view.service in services for n in view.nodes]


def _shared(states: Mapping[str, State], services: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The nodes where units of other services are recorded, with the request to stop only these
    services' there; empty where there are none.
    """
    found: dict[str, dict[str, Any]] = {}
    for node, there in states.items():
        own = [unit for unit in there.units if service_of(unit) in services]
        if len(own) < len(there.units):
            found[node] = {"units": own, "grace": STOP_GRACE} if own else {}
    return found


def _keep(
    session: Session, ended: Sequence[Node], states: Mapping[str, State], report: DownReport
) -> None:
    """Record the cluster's nodes again where all its files were removed: other services may run,
    and their nodes may leave the inventory.
    """
    there = {n.name: states.get(n.name, State()) for n in ended if n.name not in report.failed}
    kept = [n for n in ended if n.name in there and there[n.name].id]
    answers = session.ask_all(
        kept,
        JOIN,
        lambda n: {key: getattr(there[n.name], key) for key in ("id", "by", "nodes")},
        title="note the cluster",
    )
    report.failed.update(answers.failed)
    for name in answers.ok.keys() & report.removed.keys():
        folder = f"/.sparkctl/{session.inventory.cluster}"
        report.removed[name] = [p for p in report.removed[name] if not p.endswith(folder)]
        if not report.removed[name]:
            del report.removed[name]


def _departed(session: Session, reporter: Reporter, states: Mapping[str, State]) -> list[Node]:
    """The nodes that left the inventory and can be stopped."""
    found = departed.reach(session, states)
    found.nodes = departed.belonging(session, states)
    for name in found.nodes:
        reporter.note(f"{name} is no longer in the inventory; what runs there is stopped too")
    return list(found.nodes.values())


def _needed(states: Mapping[str, State]) -> set[str]:
    """The nodes with units that others need, which end last."""
    units = [r.unit for there in states.values() for r in there.units.values() if r.unit]
    return {node_of(need.unit) for unit in units for need in unit.needs}


def _names(nodes: Sequence[Node]) -> set[str]:
    return {node.name for node in nodes}


def _end(
    session: Session,
    nodes: Sequence[Node],
    call: Call[Stopped],
    requests: Mapping[str, dict[str, Any]],
    report: DownReport,
) -> bool:
    """Whether all processes on these nodes have ended; `report` has those that did not."""
    answers = session.ask_all(nodes, call, lambda n: requests[n.name], title="stop the processes")
    if session.lease is not None:
        session.lease.check()
    report.failed.update(answers.failed)
    for name, answer in answers.ok.items():
        if ended := [f"{p.pid} {command_line(p.command, 100)}" for p in answer.stopped]:
            report.stopped.setdefault(name, []).extend(ended)
        if isinstance(answer, Cleared) and answer.removed:
            report.removed[name] = [*answer.removed]
        if left := remaining(answer):
            report.failed[name] = RemoteError(left, node=name, code="processes-left")
    return not any(node.name in report.failed for node in nodes)
