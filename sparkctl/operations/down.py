"""`down`: stop the engines, what carries them, then remove the files: only what is sparkctl's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.engines.table import ENGINES
from sparkctl.errors import RemoteError
from sparkctl.facts.answers import Cleared
from sparkctl.facts.calls import CLEAR, FORGET, JOIN, STOP
from sparkctl.node.unitid import node_of
from sparkctl.operations import departed, identity, stoporder
from sparkctl.operations.ending import STOP_GRACE, remaining
from sparkctl.operations.lease import hold
from sparkctl.operations.targets import Targets, targets
from sparkctl.plan.paths import temp_dir
from sparkctl.remote.fanout import GroupResult
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.errors import SparkctlError
    from sparkctl.events import Reporter
    from sparkctl.facts.answers import Stopped
    from sparkctl.facts.calls import Call
    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.operations.session import Session
    from sparkctl.plan.record import State


@dataclass
class DownReport:
    """What was stopped and removed on each node, and the errors by node; `total`: the command's own
    seconds, from its begin.
    """

    cluster: str
    stopped: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)
    total: float = 0.0

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
    in `failed`. That includes nodes that left the inventory; for services where it has their units.

    Each node itself finds what sparkctl started there, so no facts are needed. A node with a
    process left, or that fails, keeps its files. Raises LockedError when another command holds the
    lease (unless `break_lock`), LeaseLostError when one takes it over, ForeignClusterError for
    another account's cluster of this name, or two of them.
    """
    inventory = session.inventory
    report = DownReport(inventory.cluster)
    own = _own(inventory, services)
    report.failed.update({n: e for n, e in session.pool.errors.items() if n in own})
    # Units of a service may still run on a node that the inventory gives to another.
    reached = [n for n in inventory.nodes if n.name in session.pool.connections]
    with hold(session, reporter.note, "down", reached, force=break_lock, partial=True) as failed:
        report.failed.update({n: e for n, e in failed.items() if n in own})
        held = [n for n in reached if n.name not in failed]
        found = departed.states(session, held)
        identity.same_name(inventory.cluster, found.ok)
        departed.reach(session, found.ok)
        states = {**found.ok, **departed.belonging(session, found.ok)}
        nodes = [*held, *session.departed.nodes.values()]
        if services:
            aim = targets(session, services, nodes, GroupResult(states, found.failed))
        else:
            aim = Targets(nodes, states, whole=nodes, failed={**session.departed.errors})
        _announce(session, reporter, aim, services)
        _stop_recorded(session, reporter, aim, report)
        _stop_units(session, reporter, aim, report)
        report.failed.update(aim.failed)
        _clear(session, reporter, aim, report)
        _keep(session, aim, found.ok, report)
    return report


def _own(inventory: Inventory, services: Sequence[str]) -> set[str]:
    """The names of the nodes of these services; all without one."""
    if not services:
        return _names(inventory.nodes)
    return {n.name for view in inventory.views if view.service in services for n in view.nodes}


def _announce(session: Session, reporter: Reporter, aim: Targets, services: Sequence[str]) -> None:
    """Note which departed nodes are ended too, and for some services which are not."""
    for name in session.departed.nodes:
        if name in _names(aim.whole) or name in aim.part:
            reporter.note(f"{name} is no longer in the inventory; what runs there is stopped too")
    if services:
        for unended in session.departed.doubts():
            reporter.note(f"warning: {unended}")


def _stop_recorded(session: Session, reporter: Reporter, aim: Targets, report: DownReport) -> None:
    """Stop the units that are recorded, in the order of their needs, each in its own way."""
    there = stoporder.recorded(aim.states, [*_names(aim.whole), *aim.part])
    for name in aim.part.keys() & there.keys():
        there[name] = {u: unit for u, unit in there[name].items() if u in aim.part[name]}
    for title, requests in stoporder.rounds(there):
        asked = [n for n in aim.nodes if n.name in requests and n.name not in report.failed]
        if asked:
            reporter.step(title)
            if not _end(session, asked, STOP, requests, report):
                reporter.end("failed")


def _stop_units(session: Session, reporter: Reporter, aim: Targets, report: DownReport) -> None:
    """On nodes that have other units too, stop those that are not recorded, and remove the records
    of all.
    """
    shared = [n for n in aim.nodes if n.name in aim.part and n.name not in report.failed]
    ended = stoporder.recorded(aim.states, aim.part)
    left = {n: [u for u in units if u not in ended.get(n, {})] for n, units in aim.part.items()}
    if unknown := [n for n in shared if left[n.name]]:
        reporter.step("stop the services")
        requests = {name: {"units": units, "grace": STOP_GRACE} for name, units in left.items()}
        if not _end(session, unknown, STOP, requests, report):
            reporter.end("failed")
    # A damaged record would be replaced.
    known = [n for n in shared if n.name in aim.states.keys() - report.failed.keys()]
    if known:
        answers = session.ask_all(known, FORGET, lambda n: {"units": aim.part[n.name]})
        report.failed.update(answers.failed)


def _clear(session: Session, reporter: Reporter, aim: Targets, report: DownReport) -> None:
    """End what is left on these nodes, and remove the files.

    Without a record of all: the engines first, then what carries them, that of the heads last.
    """
    whole = aim.whole
    where = {"temp_dir": temp_dir(session.inventory.cluster), "grace": STOP_GRACE}
    kinds = sorted({engine.kind for engine in ENGINES.values()})
    heads = {view.head.name for view in session.inventory.views} | _needed(aim.states)
    steps: tuple[tuple[str, Sequence[Node], Call[Any], dict[str, Any]], ...] = (
        ("stop the engines", whole, STOP, {"roles": kinds, "grace": STOP_GRACE}),
        ("stop the workers", [n for n in whole if n.name not in heads], CLEAR, where),
        ("stop the heads", [n for n in whole if n.name in heads], CLEAR, where),
    )
    if stoporder.complete(aim.states, _names(whole)):
        steps = (("remove the files", whole, CLEAR, where),)
    for title, planned, call, request in steps:
        nodes = [n for n in planned if n.name not in report.failed]
        if nodes:
            reporter.step(title)
            if not _end(session, nodes, call, dict.fromkeys(_names(nodes), request), report):
                reporter.end("failed")


def _keep(session: Session, aim: Targets, states: Mapping[str, State], report: DownReport) -> None:
    """Record the cluster's nodes again where all its files were removed, while it goes on: other
    services may run, and their nodes may leave the inventory; or a departed node is not ended.
    """
    gone, ended = session.departed, _names(aim.whole) - report.failed.keys()
    for name in gone.nodes.keys() & ended:
        del gone.nodes[name]
    if not (aim.others or gone.nodes or gone.lost):
        return
    there = {n: s for n, s in states.items() if n in ended and s.id}
    expected = departed.expected(session)
    answers = session.ask_all(
        [n for n in aim.whole if n.name in there],
        JOIN,
        lambda n: {"id": there[n.name].id, "by": there[n.name].by, "nodes": expected},
        title="note the cluster",
    )
    report.failed.update(answers.failed)
    for name in answers.ok.keys() & report.removed.keys():
        folder = f"/.sparkctl/{session.inventory.cluster}"
        report.removed[name] = [p for p in report.removed[name] if not p.endswith(folder)]
        if not report.removed[name]:
            del report.removed[name]


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
