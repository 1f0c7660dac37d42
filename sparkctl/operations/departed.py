"""Nodes that left the inventory: reached as it is written where they were, and cleaned up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError, SparkctlError
from sparkctl.facts.calls import BELONGINGS, CLEAR, FORGET, JOIN
from sparkctl.facts.unread import Missing, known
from sparkctl.node.unitid import service_of
from sparkctl.node.units import Running
from sparkctl.operations import identity
from sparkctl.operations.ending import STOP_GRACE, remaining
from sparkctl.plan.departed import Departed, departed, described, doubt
from sparkctl.plan.observed import Seen
from sparkctl.plan.paths import APPLIED, temp_dir
from sparkctl.plan.record import NEWER, State, parsed, state
from sparkctl.remote.fanout import GroupResult, check_all

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Node
    from sparkctl.operations.run import Run
    from sparkctl.operations.session import Session


def reach(session: Session, states: Mapping[str, State]) -> Departed:
    """Connect to the departed nodes that `states` know, and take the lease there if it is held.

    A node that another name of the inventory leads to is none of them. Raises nothing for a node.
    """
    found = Departed()
    nodes = departed(session.inventory, states.values())
    if not nodes:
        return found
    opened = session.pool.open(nodes)
    reached = [n for n in nodes if n.name in opened.ok]
    found.errors.update(opened.failed)
    if session.lease is not None:
        errors, same = session.lease.extend(reached)
        found.errors.update(errors)
        nodes = [n for n in nodes if n.name not in same]
    for node in nodes:
        kept = found.lost if node.name in found.errors else found.nodes
        kept[node.name] = node
    session.departed = found
    return found


def remember(session: Session, seen: Seen) -> None:
    """Keep the departed nodes recorded, for a command that does not look at them."""
    nodes = departed(session.inventory, seen.states.values())
    session.departed = Departed(lost={n.name: n for n in nodes})


def look(session: Session, seen: Seen) -> Seen:
    """The same with what runs on the departed nodes; `session.departed` has them."""
    found = reach(session, seen.states)
    own_id = identity.known_id(seen.states)
    for name, node in list(found.nodes.items()):
        try:
            facts = session.read_apart(node)
            is_ours = _is_ours(session.inventory.cluster, own_id, name, facts)
        except SparkctlError as error:
            found.errors[name], found.lost[name] = error, found.nodes.pop(name)
            continue
        if is_ours:
            found.facts[name] = facts
        else:
            del found.nodes[name]
    spare(session)
    if not found.facts:
        return seen
    errors = session.scope.errors
    return Seen(session.inventory, session.facts, errors, departed=found.facts)


def spare(session: Session) -> None:
    """Leave the departed nodes alone that have units of services that are left alone."""
    gone, services = session.departed, session.scope.left_services
    for name, facts in list(gone.facts.items()):
        units = [*state(facts, "", name).units, *(p.unit for p in known(facts.ours))]
        if there := services & {service_of(unit) for unit in units}:
            gone.lost[name] = gone.nodes.pop(name)
            gone.errors[name] = RemoteError(
                f"service {min(there)}, which is left alone, runs there",
                node=name,
                hint="run `sparkctl up` when all nodes can be reached",
                code="service-left",
            )
            del gone.facts[name]


def states(session: Session, nodes: Iterable[Node]) -> GroupResult[State]:
    """What these nodes have recorded, without their facts; `failed` are those that could not be
    asked, or whose record is damaged.

    Raises ForeignClusterError where they have another account's cluster of this name, Missing where
    a newer sparkctl wrote one: that cluster is not ended in part, on the nodes that can be read.
    """
    cluster = session.inventory.cluster
    services = {n.name: view.service for view in session.inventory.views for n in view.nodes}
    token = session.lease.token if session.lease else None
    request = {"names": [APPLIED], "temp_dir": temp_dir(cluster), "lease": token}
    answers = session.ask_all(nodes, BELONGINGS, lambda _: request, title="read the records")
    found: GroupResult[State] = GroupResult(failed=dict(answers.failed))
    for name, there in answers.ok.items():
        identity.same_account(cluster, name, there)
        try:
            found.ok[name] = parsed(there.files.get(APPLIED), services.get(name, ""), name)
        except Missing as error:  # a damaged one does not hinder `down`
            if error.code == NEWER:
                raise
            found.failed[name] = error
    return found


def belonging(session: Session, of: Mapping[str, State]) -> dict[str, State]:
    """What the departed nodes have recorded that are of the same cluster as the nodes whose states
    these are; only they stay in `session.departed`. One whose record cannot be read is in its
    errors.
    """
    gone, own_id = session.departed, identity.known_id(of)
    found = {}
    for name, node in list(gone.nodes.items()):
        try:
            there = states(session, [node])
            if name not in there.ok:
                raise _unrecorded(name)
        except SparkctlError as error:  # another account's cluster there does not end this `down`
            gone.lost[name], gone.errors[name] = gone.nodes.pop(name), error
            continue
        if there.ok[name].id == own_id:
            found[name] = there.ok[name]
        else:
            del gone.nodes[name]
    return found


def _unrecorded(node: str) -> RemoteError:
    return RemoteError(
        "the record of what runs there could not be read",
        node=node,
        hint="run `sparkctl status --host` with its address to see what runs there",
        code="record-missing",
    )


def _is_ours(cluster: str, own_id: str, node: str, facts: NodeFacts) -> bool:
    """Whether a node still has this cluster. Raises SparkctlError where that cannot be said."""
    there = state(facts, "", node)
    identity.same_account(cluster, node, known(facts.state))
    if not there.id and known(facts.ours):
        raise _unrecorded(node)
    return there.id == own_id


def untidy(session: Session, seen: Seen, units: Collection[str]) -> bool:
    """Whether the nodes have records that are no longer true: of departed nodes, or of units that
    are not desired.
    """
    nodes = expected(session)
    states = [seen.states[n.name] for n in session.scope.nodes if n.name in seen.states]
    return bool(session.departed.nodes) or any(
        there.id and (there.nodes != nodes or _stale(session, there, units)) for there in states
    )


def expected(session: Session) -> dict[str, dict[str, object]]:
    """What each node should know of the cluster's nodes: the departed ones until they are clean."""
    gone = session.departed
    return described([*session.inventory.nodes, *gone.nodes.values(), *gone.lost.values()])


def _stale(session: Session, there: State, units: Collection[str]) -> list[str]:
    left = session.scope.left_services
    records = {u: r for u, r in there.units.items() if service_of(u) not in left}
    return [u for u, record in records.items() if u not in units and record.unit is not None]


def tidy(run: Run) -> None:
    """Remove the cluster's files from departed nodes, and what the other nodes recorded of them.

    A departed node that fails is noted, and tried again by the next command.
    """
    session, gone = run.session, run.session.departed
    where = {"temp_dir": temp_dir(run.cluster), "grace": STOP_GRACE}
    answers = session.ask_all(gone.nodes.values(), CLEAR, lambda _: where, title="remove the files")
    failed = dict(answers.failed)
    for name, answer in answers.ok.items():
        if left := remaining(answer):
            failed[name] = RemoteError(left, node=name, code="processes-left")
        elif answer.removed:
            run.reporter.note(f"removed the files on {name}, which is no longer in the inventory")
    for name, error in failed.items():
        run.reporter.note(f"warning: {doubt(gone.nodes[name], error)}")
        gone.lost[name], gone.errors[name] = gone.nodes[name], error
    gone.nodes.clear()
    join(run)
    _forget(run)


def join(run: Run) -> None:
    """Record on each node that the run works on which cluster it is part of; a record that could
    not be read is not replaced.
    """
    session, lease = run.session, run.session.lease
    by = {"who": lease.who, "when": lease.when} if lease else {}
    request = {"id": run.cluster_id, "by": by, "nodes": expected(session)}
    nodes = joining(run)
    answers = session.ask_all(nodes, JOIN, lambda _: request, title="note the cluster")
    for name, answer in check_all(answers).items():
        if answer.other is not None:
            raise identity.foreign(run.cluster, name, answer.other)


def joining(run: Run) -> list[Node]:
    """The nodes that the run works on whose record was read, or that have none."""
    return [n for n in run.session.scope.nodes if n.name in run.outlook.seen.states]


def _forget(run: Run) -> None:
    """Remove the records of units that are not desired and do not run any more."""
    session, units, ended = run.session, run.outlook.units, set(run.outlook.plan.units("stop"))
    stale: dict[str, list[str]] = {}
    for node in session.scope.nodes:
        there = run.outlook.seen.states.get(node.name, State())
        gone = [u for u in _stale(session, there, units) if u in ended or not _runs(run, u)]
        if gone:
            stale[node.name] = gone
    nodes = [n for n in session.scope.nodes if n.name in stale]
    check_all(session.ask_all(nodes, FORGET, lambda node: {"units": stale[node.name]}))


def _runs(run: Run, unit: str) -> bool:
    return isinstance(run.outlook.observed.get(unit), Running)
