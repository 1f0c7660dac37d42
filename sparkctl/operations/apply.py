"""The steps that carry out a plan: units are stopped, then started in waves, then waited for."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import replace
from functools import partial
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError
from sparkctl.facts.calls import PREPARE, READ_FILES, RECOVER, REMOVE, START
from sparkctl.facts.unread import Missing, known
from sparkctl.node.difference import DRAIN
from sparkctl.node.difference import START as STARTS
from sparkctl.node.files import environment_text
from sparkctl.node.unitid import node_of
from sparkctl.node.unitjson import document
from sparkctl.node.units import CONTAINER
from sparkctl.operations import departed, ending, ready
from sparkctl.operations.run import Step
from sparkctl.operations.together import together
from sparkctl.plan.paths import ENVIRONMENT, temp_dir
from sparkctl.remote.fanout import check_all, each
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparkctl.facts.answers import Started
    from sparkctl.inventory.models import Node
    from sparkctl.node.difference import Part
    from sparkctl.node.difference import Step as Planned
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run


def steps(run: Run, *, detach: bool = False) -> Iterator[Step]:
    """The steps of a run, whose parts go together or one after the other, by the plan's strategy.

    With `detach` the units are started, and nobody waits until they are ready.
    """
    plan = run.outlook.plan
    if plan and _recorded(run):
        yield Step("take back what earlier runs left", recover)
    batches = [[part] for part in plan.parts] if plan.strategy == "rolling" else [plan.parts]
    for batch in batches:
        yield from _batch(run, batch)
        yield from ready.daemons(run) if detach else ready.steps(run)
    if run.outlook.untidy:
        left = bool(run.session.departed.nodes)
        title = "clean up what left the inventory" if left else "update the nodes' records"
        yield Step(title, departed.tidy)


def _batch(run: Run, parts: Sequence[Part]) -> Iterator[Step]:
    ends = [[s for s in part.steps if s.action != STARTS] for part in parts]
    starts = [[s for s in part.steps if s.action == STARTS] for part in parts]
    for wave in zip_longest(*ends):
        for action, units, seconds in _together(wave):
            if action == DRAIN:
                title = f"wait for the requests of {run.named(units)}"
                yield Step(title, partial(ending.drain, units=units, seconds=seconds))
            else:
                yield Step(f"stop {run.named(units)}", partial(ending.stop, units=units))
    if any(starts):
        yield Step("write the environment", write_files)
    for wave in zip_longest(*starts):
        for _, units, _ in _together(wave):
            yield Step(f"start {run.named(units)}", partial(start, units=units))


def _together(wave: Iterable[Planned | None]) -> Iterator[tuple[str, list[str], float]]:
    """The steps of several parts as one of each action."""
    found: dict[str, list[Planned]] = {}
    for step in wave:
        if step is not None:
            found.setdefault(step.action, []).append(step)
    for action, same in found.items():
        units = [*chain.from_iterable(step.units for step in same)]
        yield action, units, max(step.seconds for step in same)


def recover(run: Run) -> None:
    """Take back what runs whose controller is gone have started, but what goes on."""
    changed = {change.unit for change in run.outlook.plan.changes}
    kept: dict[str, dict[str, str]] = {n.name: {} for n in run.session.scope.nodes}
    for name, record in run.outlook.seen.records.items():
        node = node_of(name)
        if name not in changed and node in kept:
            kept[node][name] = record.run
    answers = run.session.ask_all(_recorded(run), RECOVER, lambda n: {"keep": kept[n.name]})
    for name, answer in check_all(answers).items():
        for entry in answer.failed:
            run.reporter.note(f"warning: {name}: not taken back: {entry.title}: {entry.error}")


def _recorded(run: Run) -> list[Node]:
    """The nodes where an earlier run has left files."""
    facts = run.session.facts
    return [n for n in departed.joining(run) if known(facts[n.name].state).exists]


def write_files(run: Run) -> None:
    """Write what the units of each node share, 0600: the environment, and the secrets of a service
    that all its nodes have.
    """
    session, cluster = run.session, run.cluster
    starting = {run.outlook.units[u].node for u in run.outlook.plan.units(STARTS)}
    nodes = [n for n in session.inventory.nodes if n.name in starting]
    for node in departed.joining(run):
        there = known(session.facts[node.name].state)
        if not there.exists and (node.name in starting or not there.temp_dir):
            where = {"temp_dir": temp_dir(cluster), "owner": f"up/{run.id}"}
            remove = partial(session.ask, node, REMOVE, where, title="remove the files")
            run.undo.append((f"remove the files on {node.name}", remove))
    departed.join(run)
    files = {}
    for desired in run.outlook.desired:
        own = [name for name in desired.parts if name in starting]
        shared = _secrets(run, [*desired.parts], own, desired.engine.secrets) if own else {}
        for name in own:
            values = environment_text(revealed(desired.values(name)))
            files[name] = {ENVIRONMENT: values, **shared}
    check_all(each(nodes, lambda n: _prepare(run, n, files[n.name]), key=lambda n: n.name))


def _prepare(run: Run, node: Node, files: dict[str, str]) -> None:
    request = {
        "owner": f"up/{run.id}",
        "temp_dir": temp_dir(run.cluster),
        "files": files,
        **_containers(run, node.name),
    }
    answer = run.session.ask(node, PREPARE, request, title="write the environment")
    if answer.folder is None:
        return
    variable = _variable(run, node.name, answer.folder)
    raise RemoteError(
        f"cannot make {answer.folder}, which a container needs: {answer.reason}",
        node=node.name,
        hint="make it there, writable by the login"
        + (f", or change {variable}, which names it" if variable else ""),
        code="folder-unwritable",
        data={"folder": answer.folder, "variable": variable},
    )


def _variable(run: Run, node: str, folder: str) -> str | None:
    """The variable that names a folder of the node's containers; None for one of the home."""
    placed = [d.places[node].environment for d in run.outlook.desired if node in d.places]
    return next((k for found in placed for k, value in found.items() if value == folder), None)


def _containers(run: Run, node: str) -> dict[str, list[str] | str]:
    """What a node makes ready for the containers that start there."""
    starting = [run.outlook.units[u] for u in run.outlook.plan.units(STARTS)]
    units = [unit.id for unit in starting if unit.node == node and unit.kind == CONTAINER]
    if not units:
        return {}
    desired = run.outlook.of(units[0])
    place = desired.places[node]
    return {"units": units, "tool": place.tool, "folders": [*desired.runtime.folders(place)]}


def _secrets(
    run: Run, nodes: Sequence[str], starting: Sequence[str], names: Sequence[str]
) -> dict[str, str]:
    """The random tokens of a service: those of a node that keeps its units, else new ones."""
    kept = next((n for n in nodes if n not in starting or _keeps(run, n)), None)
    if not names or kept is None:
        return {name: secrets.token_hex(32) for name in names}
    answer = run.session.ask(run.session.node(kept), READ_FILES, {"names": list(names)})
    for name in names:
        if name not in answer:
            raise Missing(f"{kept}: {name} could not be read", what=name, kind="missing")
    return {name: answer[name] or secrets.token_hex(32) for name in names}


def _keeps(run: Run, node: str) -> bool:
    """Whether a unit of this node goes on running."""
    changed = {c.unit for c in run.outlook.plan.changes}
    return any(u.node == node and name not in changed for name, u in run.outlook.units.items())


def start(run: Run, units: Sequence[str]) -> None:
    """Start these units, on all their nodes at once; those that wait for others, when these have
    come far enough.
    """
    chosen = [run.outlook.units[name] for name in units]
    needs = {unit.id: [n for n in unit.needs if ready.is_awaited(run, n)] for unit in chosen}
    before = len(run.undo)
    _launch(run, [unit for unit in chosen if not needs[unit.id]], len(run.undo))
    if late := [unit for unit in chosen if needs[unit.id]]:
        awaited = dict.fromkeys(need for unit in late for need in needs[unit.id])
        together(run, {f"{n.unit} {n.until}": partial(ready.reach, need=n) for n in awaited})
        # What was started along with these is rolled back first: it may need them.
        _launch(run, late, before)


def _launch(run: Run, units: Sequence[Unit], at: int) -> None:
    """Start units at once; their undo is the one at this place of the run's."""
    run.undo[at:at] = [
        (
            f"stop {unit.title} on {unit.node}",
            partial(ending.stop, run, [unit.id], only=run.id),
        )
        for unit in units
    ]
    run.started.update(check_all(each(units, partial(_start, run), key=lambda unit: unit.id)))


def _start(run: Run, unit: Unit) -> Started:
    desired = run.outlook.of(unit.id)
    record = desired.record(unit.id)
    sealed = replace(unit, digest=record.digest)
    lease = run.session.lease
    return run.session.ask(
        run.session.node(unit.node),
        START,
        {
            "unit": unit.id,
            "record": {
                **record.document(),
                "who": lease.who if lease else "",
                "unit": document(sealed),
            },
            "argv": revealed(unit.program.argv),
            "shown": shlex.join(unit.program.argv),
            "env": {**run.mark(unit), **revealed(dict(unit.program.environment))},
            "inside": list(unit.program.inside),
            "run": run.id,
        },
        title=f"start {unit.title}",
    )
