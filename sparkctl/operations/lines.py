"""Whether an engine's own parser takes the command lines that a run will start, asked on nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparkctl.errors import PreflightError
from sparkctl.node import modelpath
from sparkctl.node.difference import START
from sparkctl.operations import transient
from sparkctl.remote.fanout import check_all, each
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from sparkctl.facts.answers import Parsed
    from sparkctl.facts.calls import Call
    from sparkctl.node.units import Unit
    from sparkctl.operations.run import Run
    from sparkctl.plan.desired import Desired


class _Line(NamedTuple):
    desired: Desired
    unit: Unit
    parser: Call[Parsed]


def check_lines(run: Run) -> None:
    """Ask one node of each service that starts units, where its engine has a parser.

    The lines of a service differ in the rank alone. Raises PreflightError for one that is refused.
    """
    lines = {}
    for name in run.outlook.plan.units(START):
        desired, unit = run.outlook.of(name), run.outlook.units[name]
        if (parser := desired.engine.parser) and unit.kind == desired.engine.kind:
            lines[desired.inventory.service] = _Line(desired, unit, parser)
    if not lines:
        return
    run.reporter.step("check the command line")
    answers = check_all(each([*lines], lambda service: _ask(run, lines[service]), key=str))
    for service, answer in answers.items():
        if answer.error is not None:
            desired, unit, _ = lines[service]
            raise PreflightError(
                f"{desired.engine.title} refuses its command line, nothing was started:"
                f" {answer.error}",
                node=unit.node,
                hint=f"correct {desired.inventory.key}.arguments",
                code="arguments-refused",
                data={"service": service, "error": answer.error},
            )


def _ask(run: Run, line: _Line) -> Parsed:
    part = line.desired.parts[line.unit.node]
    view = line.desired.inventory
    runtime = line.desired.runtime
    python = runtime.path(view, "python")
    place = line.desired.places[line.unit.node]
    with transient.named(run.session, part.node, place.tool) as name:
        return run.session.ask(
            part.node,
            line.parser,
            {"argv": revealed(line.unit.program.argv)},
            python=modelpath.expanded(python, part.home),
            inside=runtime.once(place, name),
            title="check the command line",
        )
