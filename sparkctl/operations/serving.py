"""Whether what runs is sound and serves, as only a look inside shows; and which models end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.table import ENGINES
from sparkctl.engines.vllm.placement import misplaced
from sparkctl.facts.answers import Failed
from sparkctl.node.difference import STOP
from sparkctl.node.unitid import kind_of, service_of
from sparkctl.node.units import READY, Absent, Generates, RayNodes, Running
from sparkctl.operations import health
from sparkctl.operations.look import look
from sparkctl.operations.raytable import ask_ray
from sparkctl.plan import older

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sparkctl.events import Reporter
    from sparkctl.facts.answers import RayTable
    from sparkctl.node.difference import Plan
    from sparkctl.node.units import Observed, Unit
    from sparkctl.operations.session import Session
    from sparkctl.plan.desired import Desired
    from sparkctl.plan.observed import Seen
    from sparkctl.plan.record import Record


def unsound(session: Session, desired: Desired, reporter: Reporter) -> tuple[dict[str, str], bool]:
    """Why units that run must be restarted, and whether the service serves meanwhile.

    Raises ServingError where a restart may not help: ranks are on other nodes than planned, or
    nothing is generated.
    """
    every = [(unit, ready) for unit in desired.units.values() for ready in unit.ready]
    serving = next((unit for unit, ready in every if isinstance(ready, Generates)), None)
    if serving is None:
        return {}, True
    table = next(((u, r) for u, r in every if isinstance(r, RayNodes)), None)
    session = session.within(desired.inventory)
    seen = look(session, serving.program.argv, table[1] if table else None)
    if table and seen.table is not None and (found := _ray(desired, table[0], seen.table)):
        return found, seen.serves
    unserved, said = health.judged(desired.inventory, seen.completion, seen.health)
    if said:
        reporter.note(said)
    return ({serving.id: unserved} if unserved else {}), unserved is None


def carriers(
    session: Session, desired: Desired, observed: Mapping[str, Observed], changing: Collection[str]
) -> dict[str, str]:
    """Why Ray's units that are kept must be restarted, where others of the service change.

    A model that ended because a worker joined over another network would not start again on it.
    """
    kept = {u for u, seen in observed.items() if u not in changing and _is_ready(seen)}
    for unit in desired.units.values():
        for ready in unit.ready:
            if isinstance(ready, RayNodes) and unit.id in kept:
                session = session.within(desired.inventory)
                table = ask_ray(session, ready, wanted=ready.nodes)
                return {u: why for u, why in _absent(desired, unit, table).items() if u in kept}
    return {}


def _is_ready(seen: Observed) -> bool:
    return isinstance(seen, Running) and seen.phase == READY


def _ray(desired: Desired, head: Unit, table: Failed | RayTable) -> dict[str, str]:
    """The units whose Ray is not in its table; raises ServingError for ranks on other nodes."""
    found = _absent(desired, head, table)
    if found or isinstance(table, Failed):
        return found
    if error := misplaced(desired.inventory, desired.addresses, table):
        raise error
    return {}


def _absent(desired: Desired, head: Unit, table: Failed | RayTable) -> dict[str, str]:
    """The units whose Ray is not in its table; the head's where it does not answer."""
    if isinstance(table, Failed):
        return {head.id: f"Ray does not answer: {table.error}"}
    names = desired.addresses
    on = {u.node: u.id for u in desired.units.values() if u.kind == head.kind}
    return {on[names[a]]: f"Ray does not list {a} as alive with its GPU" for a in table.missing}


def stopped(desired: Sequence[Desired], seen: Seen, plan: Plan) -> dict[str, str]:
    """The models that this plan would stop, by service: by the name they were started with.

    A unit with ranks stops one too, wherever the unit that serves it runs.
    """
    found: dict[str, str] = {}
    observed = seen.observed({})
    for name in plan.units(STOP):
        service, kind = service_of(name), kind_of(name)
        record, one = seen.records.get(name), observed.get(name)
        if not isinstance(one, Running):
            continue
        if _is_engine(kind, record):
            found[service] = _started_model(record) or _model(desired, name)
        elif any(process.rank for process in one.processes):
            found.setdefault(service, _model(desired, name))
    return found


def _started_model(record: Record | None) -> str:
    """The model of a unit as it was started; empty where that is not recorded."""
    if record is None:
        return ""
    ready = record.unit.ready if record.unit else ()
    return next((r.model for r in ready if isinstance(r, Generates)), older.model(record.argv))


def _model(desired: Sequence[Desired], unit: str) -> str:
    """The model of the unit's service; the unit itself if the inventory has no such service."""
    one = next((d for d in desired if d.inventory.service == service_of(unit)), None)
    return one.engine.model(one.inventory, one.head.home) if one else unit


def _is_engine(kind: str, record: Record | None) -> bool:
    """Whether a unit of this kind serves a model, rather than carries one that does."""
    if record and record.unit:
        return any(isinstance(ready, Generates) for ready in record.unit.ready)
    return kind in {engine.kind for engine in ENGINES.values()}


def may_serve(session: Session, desired: Sequence[Desired], seen: Seen, service: str) -> bool:
    """Whether the service that runs may be serving; yes where that cannot be asked, no where what
    serves has ended, or its group is not whole.
    """
    one = next((d for d in desired if d.inventory.service == service), None)
    answering = [
        (name, record, ready.base)
        for name, record in seen.records.items()
        if service_of(name) == service and record.unit
        for ready in record.unit.ready
        if isinstance(ready, Generates)
    ]
    observed = seen.observed(seen.recorded)
    if answering and all(isinstance(observed[name], Absent) for name, *_ in answering):
        return False
    serving = [found for found in answering if seen.places(found[0])]
    if one is None or not serving:
        return True
    view, lost = session.within(one.inventory), lacking(seen)
    return any(
        health.serves(view, record.argv, base, session.node(seen.places(name)[0]))
        for name, record, base in serving
        if name not in lost
    )


def lacking(seen: Seen) -> set[str]:
    """The units that cannot serve: one that started with them, as a rank of their group, has
    ended. One that cannot be read has not.
    """
    units = seen.recorded
    observed = seen.observed(units)
    starts = {u: (unit.group, seen.records[u].run) for u, unit in units.items()}
    ended = {starts[u] for u in units if isinstance(observed[u], Absent)}
    return {u for u, start in starts.items() if start in ended}
