"""Whether a start is under way, by the records of the nodes and the log of the engine; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.facts.unread import Unread
from sparkctl.node.units import STARTING, Running
from sparkctl.operations.starting import Startup, stages_of

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.node.units import Unit
    from sparkctl.plan.record import Record


class Start(NamedTuple):
    """The start of a unit as it is recorded, and how far its log shows it."""

    unit: Unit
    record: Record
    seen: Startup


def recorded_start(snapshot: Snapshot, node: str) -> tuple[Unit, Record] | None:
    """The engine on this node that was started, and not noted as ready since; it may be."""
    for name, record in snapshot.observed.records.items():
        unit = record.unit
        if unit and unit.node == node and record.phase == STARTING and stages_of(unit):
            return (unit, record) if unit.id == name else None
    return None


def under_way(snapshot: Snapshot) -> Start | None:
    """The start that is going on: of the engine, or before that of what it needs."""
    start = _engine(snapshot)
    if start is not None:
        return start if start.seen.state == "starting" and _lives(snapshot, start.unit) else None
    for record in snapshot.observed.records.values():
        unit = record.unit
        # Without a lease its command was killed before it started the engine.
        if unit and record.phase == STARTING and _goes_on(snapshot, unit):
            return Start(unit, record, Startup())
    return None


def failed(snapshot: Snapshot) -> Start | None:
    """The start of the engine that failed while its processes are left."""
    start = _engine(snapshot)
    if start is None or start.seen.state != "failed" or not _lives(snapshot, start.unit):
        return None
    return start


def is_over(snapshot: Snapshot) -> bool:
    """Whether the records say of the engine that its start is over."""
    head = snapshot.inventory.head.name
    records = (r for r in snapshot.observed.records.values() if r.unit and r.unit.node == head)
    return under_way(snapshot) is None and any(stages_of(record.unit) for record in records)


def whole(snapshot: Snapshot, kind: str) -> bool:
    """Whether each unit of this kind that was started runs."""
    observed = snapshot.observed.observed(snapshot.observed.recorded)
    own = [u for u, unit in snapshot.observed.recorded.items() if unit.kind == kind]
    return all(isinstance(observed[u], Running) for u in own)


def _engine(snapshot: Snapshot) -> Start | None:
    head = snapshot.inventory.head.name
    found = recorded_start(snapshot, head) if head in snapshot.all_facts else None
    if found is None:
        return None
    look = snapshot.looks.start.get(head)
    return Start(*found, Startup() if look is None or isinstance(look, Unread) else look)


def _goes_on(snapshot: Snapshot, unit: Unit) -> bool:
    return not stages_of(unit) and _lives(snapshot, unit) and _locked(snapshot, unit.node)


def _lives(snapshot: Snapshot, unit: Unit) -> bool:
    return any(of == unit.id for of, _ in snapshot.observed.processes.get(unit.node, ()))


def _locked(snapshot: Snapshot, node: str) -> bool:
    state = snapshot.all_facts[node].state
    return not isinstance(state, Unread) and state.lease is not None
