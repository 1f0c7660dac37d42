"""What `down SERVICE` ends on each node: by the nodes' records and the processes' marks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError
from sparkctl.facts.calls import CLUSTERS
from sparkctl.node.unitid import service_of
from sparkctl.plan.record import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.errors import SparkctlError
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session
    from sparkctl.plan.record import State
    from sparkctl.remote.fanout import GroupResult


@dataclass
class Targets:
    """The nodes to end `whole`, those to end in `part` with their units, and the errors of nodes
    of the services where it is unknown what to end. `nodes` are all that can be asked, `states`
    what they have recorded, where that could be read. `others`: the cluster goes on elsewhere.
    """

    nodes: Sequence[Node]
    states: Mapping[str, State]
    whole: list[Node] = field(default_factory=list)
    part: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, SparkctlError] = field(default_factory=dict)
    others: bool = False


def targets(
    session: Session, services: Sequence[str], nodes: Sequence[Node], found: GroupResult[State]
) -> Targets:
    """What to end for these services on these nodes, which may be departed ones too.

    Units are ended wherever they are recorded. A node is ended whole when it has none of another
    service, and is one of the services' own, has units of theirs, or these are the last services.
    Where the record has no unit or could not be read, the processes' marks say whose they are.
    """
    inventory, aim = session.inventory, Targets(nodes, found.ok)
    own = {n.name for v in inventory.views if v.service in services for n in v.nodes}
    running, unasked = _running(session, own, nodes, found)
    idle: list[Node] = []  # nothing of any service is there
    for node in nodes:
        name, units = node.name, running.get(node.name, set())
        if name in found.ok:
            units = units | found.ok[name].units.keys()
        ended = sorted(u for u in units if service_of(u) in services)
        if name in unasked:
            aim.others = True
            if name in own:
                aim.failed[name] = unasked[name]
        elif len(ended) < len(units):
            aim.others = True
            if ended:
                aim.part[name] = ended
            if name in own and ("" in units or name in found.failed):
                aim.failed[name] = _unknown(name, found.failed.get(name))
        elif ended or name in own:
            aim.whole.append(node)
        else:
            idle.append(node)
    gone = session.departed
    left = gone.nodes.keys() - {n.name for n in aim.whole}
    read = all(n.name in found.ok for n in inventory.nodes)
    aim.others = aim.others or not read or bool(gone.lost or left)
    if not aim.others:  # with the last service goes what the nodes of those before have kept
        aim.whole.extend(idle)
    return aim


def _running(
    session: Session, own: set[str], nodes: Sequence[Node], found: GroupResult[State]
) -> tuple[dict[str, set[str]], dict[str, SparkctlError]]:
    """The units of the processes on the nodes whose records do not say them, "" for one without a
    mark of its unit; and the errors of nodes that could not be asked.
    """
    unread = found.failed
    nodes = [n for n in nodes if n.name in unread or (n.name in own and not found.ok[n.name].units)]
    if not nodes:
        return {}, {}
    answers = session.ask_all(nodes, CLUSTERS, lambda _: {}, title="read what runs")
    cluster = session.inventory.cluster
    running = {
        name: {p.unit for c in answer.clusters if c.name == cluster for p in c.processes}
        for name, answer in answers.ok.items()
    }
    return running, dict(answers.failed)


def _unknown(node: str, unread: SparkctlError | None) -> RemoteError:
    """The error for processes of which no record says whose they are."""
    reason = unread.message if unread else "there is no record of what runs there"
    return RemoteError(
        f"{reason}; only processes that are marked as the service's were stopped",
        node=node,
        hint="run `sparkctl down` without a service to end all that runs there",
        code=DAMAGED if unread else "record-missing",
    )
