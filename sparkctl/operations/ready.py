"""Waiting for units: until others may use them, until they have started, until they are ready."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from sparkctl.engines.engine import ended
from sparkctl.engines.vllm.placement import misplaced, placements
from sparkctl.errors import LeaseLostError, RemoteError, ServingError
from sparkctl.facts.answers import Failed
from sparkctl.facts.calls import SETTLE, UNTIL
from sparkctl.node.unitid import replica_of, service_of
from sparkctl.node.units import (
    REACHABLE,
    READY,
    STARTING,
    Generates,
    Listens,
    LogStages,
    RayNodes,
    RayRanks,
    Running,
)
from sparkctl.operations import group, startup
from sparkctl.operations.raytable import ask_ray
from sparkctl.operations.run import Step
from sparkctl.operations.together import together
from sparkctl.remote.fanout import check_all, each

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sparkctl.facts.answers import Waited
    from sparkctl.node.units import Need, Unit
    from sparkctl.operations.run import Run

LONG = 86_400.0  # seconds for a program without a time of its own


def steps(run: Run) -> Iterator[Step]:
    """Wait for all that this run started, and for what another left starting.

    First for programs that end once their daemons run, so that the first failure is the cause.
    """
    units = _pending(run)
    yield from daemons(run)
    waits: dict[str, list[Step]] = {}
    waited = []
    for unit in (*_carriers(run, [unit.id for unit in units]), *units):
        if found := [*_conditions(run, unit)]:
            waits.setdefault(service_of(unit.id), []).extend(found)
            waited.append(unit.id)
    if len(waits) > 1:
        chains = {service: partial(_in_order, steps=found) for service, found in waits.items()}
        yield Step(f"wait for {run.named(waited)}", partial(together, waits=chains))
    else:
        yield from chain.from_iterable(waits.values())
    if units:
        yield Step("note what runs", partial(_note, units=units))


def _in_order(run: Run, steps: list[Step]) -> None:
    for step in steps:
        run.check()
        run.reporter.step(step.title)
        step.apply(run)


def daemons(run: Run) -> Iterator[Step]:
    """Wait for programs that end once their daemons run: only then are they started."""
    ending: dict[str, list[Unit]] = {}
    for unit in _pending(run):
        if unit.program.ends:
            ending.setdefault(service_of(unit.id), []).append(unit)
    if ending:
        names = [unit.id for units in ending.values() for unit in units]
        waits = {service: partial(_ended, units=units) for service, units in ending.items()}
        yield Step(f"wait for {run.named(names)}", partial(together, waits=waits))


def _pending(run: Run) -> list[Unit]:
    names = [u for u in (*run.started, *run.outlook.waits) if u not in run.ready]
    return [run.outlook.units[u] for u in names]


def _carriers(run: Run, names: Collection[str]) -> Iterator[Unit]:
    """The units that go on, and whose Ray must list those of its kind that were started."""
    joining = {(replica_of(name), run.outlook.units[name].kind) for name in names}
    for name, unit in run.outlook.units.items():
        carries = any(isinstance(ready, RayNodes) for ready in unit.ready)
        if carries and name not in names and (replica_of(name), unit.kind) in joining:
            yield unit


def _conditions(run: Run, unit: Unit) -> Iterator[Step]:
    """What makes a unit ready, one step each."""
    for ready in unit.ready:
        if isinstance(ready, RayNodes):
            yield Step("wait for Ray's node table", partial(_ray, unit=unit, ready=ready))
        elif isinstance(ready, Listens):
            wait = partial(_listens, unit=unit, ready=ready)
            yield Step(f"wait for {run.title(unit)} on {unit.node}", wait)
    if any(isinstance(ready, (LogStages, Generates)) for ready in unit.ready):
        yield Step(f"wait for {run.title(unit)}", partial(_serves, unit=unit))


def is_awaited(run: Run, need: Need) -> bool:
    """Whether a needed unit is still on its way to where `need` says."""
    seen = run.outlook.observed.get(need.unit)
    starts = isinstance(seen, Running) and seen.phase == STARTING
    return need.until in (REACHABLE, READY) and (need.unit in run.started or starts)


def reach(run: Run, need: Need) -> None:
    """Wait until a needed unit is as far as `need` says. Raises ServingError when it fails."""
    unit = run.outlook.units[need.unit]
    if unit.reachable:
        _listens(run, unit, unit.reachable)
    elif unit.program.ends:
        _ended(run, [unit])
    if need.until == READY:
        for step in _conditions(run, unit):
            step.apply(run)


def _until(run: Run, unit: Unit, listens: Listens | None, seconds: float) -> Waited:
    where = {"address": listens.address, "port": listens.port} if listens else None
    return run.session.ask(
        run.session.node(unit.node),
        UNTIL,
        {
            "unit": unit.id,
            "run": _run_of(run, unit),
            "listens": where,
            "ends": listens is None,
            "timeout": seconds,
        },
        timeout=seconds + 15,
        title=f"wait for {unit.title}",
    )


def _run_of(run: Run, unit: Unit) -> str:
    record = run.outlook.seen.records.get(unit.id)
    return run.id if unit.id in run.started or record is None else record.run


def _listens(run: Run, unit: Unit, ready: Listens) -> None:
    answer = _until(run, unit, ready, unit.program.ends or LONG)
    if not answer.listens:
        raise _failure(run, unit, answer)


def _ended(run: Run, units: list[Unit]) -> None:
    def wait(unit: Unit) -> Waited:
        return _until(run, unit, None, unit.program.ends)

    answers = check_all(each(units, wait, key=lambda unit: unit.id))
    for unit in units:
        if not answers[unit.id].ended or answers[unit.id].status != 0:
            raise _failure(run, unit, answers[unit.id])


def _failure(run: Run, unit: Unit, answer: Waited) -> ServingError:
    """Why a program did not start."""
    status = answer.status if answer.ended else None
    desired = run.outlook.of(unit.id)
    why = ended(desired.engine, unit, status, answer.tail)
    return ServingError(
        why.text,
        node=unit.node,
        code=why.code,
        data={"cause": why.known.code if why.known else None, "status": status, "unit": unit.id},
        hint=why.known.text(desired.inventory.key) if why.known else why.hint,
        log_tail=[*answer.tail],
    )


def _ray(run: Run, unit: Unit, ready: RayNodes) -> None:
    """Wait until Ray lists every node as alive, by its fabric address and with its GPU."""
    session = run.session.within(run.outlook.of(unit.id).inventory)
    table = ask_ray(session, ready, wanted=ready.nodes, timeout=ready.seconds)
    if isinstance(table, Failed):
        raise ServingError(f"Ray does not answer: {table.error}", node=unit.node, code="ray-silent")
    if table.missing:
        there = ", ".join(f"{n.address} ({n.gpus:g} GPU)" for n in table.nodes if n.alive)
        names = run.outlook.of(unit.id).addresses
        lacking = ", ".join(f"{names[a]} at {a}" for a in table.missing)
        raise ServingError(
            f"Ray did not list {lacking} as alive with its GPU within {ready.seconds:g} s, only"
            f" {there}",
            node=unit.node,
            code="ray-incomplete",
            data={"missing": [names[a] for a in table.missing]},
            hint="read `sparkctl logs ray NODE`; a node with another address joined over another"
            " network; for a missing GPU run `nvidia-smi` on the node",
        )


def _serves(run: Run, unit: Unit) -> None:
    """Follow the unit's log until it is ready, then ask for a completion."""
    ranks = next((r for r in unit.ready if isinstance(r, RayRanks)), None)
    placed = partial(_placed, run, unit, ranks) if ranks else None
    group.guarded(run, unit, lambda run: startup.watch(run, unit, placed=placed))


def _placed(run: Run, unit: Unit, ready: RayRanks) -> bool:
    """Compare Ray's placement with the plan; False when Ray does not show one (yet).

    Raises ServingError when a rank is on another node.
    """
    desired = run.outlook.of(unit.id)
    session = run.session.within(desired.inventory)
    try:
        table = ask_ray(session, ready)
    except RemoteError:
        return False
    if isinstance(table, Failed):
        return False
    if error := misplaced(desired.inventory, desired.addresses, table):
        raise error
    return bool(placements(table))


def _note(run: Run, units: list[Unit]) -> None:
    """Record on the nodes that the units are ready: what their runs did is complete."""
    by_node: dict[str, dict[str, str]] = {}
    for unit in units:
        by_node.setdefault(unit.node, {})[unit.id] = _run_of(run, unit)
    nodes = [run.session.node(name) for name in by_node]
    title = "note what is ready"
    noted = run.session.ask_all(nodes, SETTLE, lambda n: {"units": by_node[n.name]}, title=title)
    if lost := [e for e in noted.failed.values() if isinstance(e, LeaseLostError)]:
        raise lost[0]
    run.ready.update(unit.id for unit in units)
    # The model is served: the next `up` would wait for it once more, and only a `down` after a
    # SIGKILL would leave shared memory.
    for name, error in noted.failed.items():
        run.reporter.note(f"warning: {name}: not recorded as ready: {error.message}")
