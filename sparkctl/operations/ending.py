"""Stopping units, each in its own way, and waiting for requests before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import ServingError
from sparkctl.facts.calls import IDLE, STOP
from sparkctl.node.unitid import node_of
from sparkctl.node.units import Generates, Stop
from sparkctl.operations.stoporder import request
from sparkctl.remote.fanout import check_all, each
from sparkctl.secret.text import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.facts.answers import Stopped
    from sparkctl.node.units import Ready, Unit
    from sparkctl.operations.run import Run

ALLOWANCE = 30.0  # seconds for a call itself
STOP_GRACE = 10.0  # seconds that a program gets to end on TERM


def stop(run: Run, units: Sequence[str], only: str | None = None) -> None:
    """Stop these units on all their nodes at once; `only` limits it to one run's processes.

    They are stopped as they were started. Raises ServingError when a process is left.
    """
    if not only:
        run.ended = run.outlook.stops
    places = {u: [] if only else run.outlook.seen.places(u) for u in units}
    targets = [(u, node) for u in units for node in places[u] or [node_of(u)]]
    answers = check_all(each(targets, lambda at: _stop(run, *at, only), key=" on ".join))
    for name, answer in answers.items():
        if left := remaining(answer):
            raise ServingError(
                left,
                node=name.rpartition(" on ")[2],
                hint="they hang in the kernel: read `dmesg`, then reboot the node",
                code="processes-left",
            )


def _stop(run: Run, name: str, place: str, only: str | None) -> Stopped:
    unit = run.outlook.units.get(name)
    if not only:
        unit = _started(run, name, place) or unit
    title = f"stop {unit.title if unit else name}"
    asked = request([name], unit.stop if unit else Stop(), only)
    return run.session.ask(run.session.node(place), STOP, asked, title=title)


def _started(run: Run, name: str, place: str) -> Unit | None:
    """The unit as this node has recorded it: what another has names no command for it."""
    state = run.outlook.seen.states.get(place)
    record = state.units.get(name) if state else None
    return record.unit if record else None


def remaining(answer: Stopped) -> str:
    """The processes that a node could not stop, as text; empty when none is left."""
    left = [f"{p.pid} ({command_line(p.command, 60)})" for p in answer.remaining]
    return f"processes still running after SIGKILL: {', '.join(left)}" if left else ""


def drain(run: Run, units: Sequence[str], seconds: float) -> None:
    """Wait until no request runs in these units, for so many seconds at most."""
    every = run.outlook.seen.recorded
    bases = {u: r.base for u in units for r in _ready(every.get(u)) if isinstance(r, Generates)}

    def wait(name: str) -> object:
        asked = {"base": bases[name], "timeout": seconds}
        place = next(iter(run.outlook.seen.places(name)), every[name].node)
        node = run.session.node(place)
        title = "wait for the requests"
        return run.session.ask(node, IDLE, asked, timeout=seconds + ALLOWANCE, title=title)

    check_all(each([*bases], wait, key=str))


def _ready(unit: Unit | None) -> Sequence[Ready]:
    return unit.ready if unit else ()
