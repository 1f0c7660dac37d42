"""`plan` and `env` as lines and as JSON; secrets in what is desired show a mask by themselves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_err, print_json, print_out, print_wrapped
from sparkctl.output.up import blocked_change
from sparkctl.text import SEPARATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.forecast import Forecast
    from sparkctl.engines.engine import Part
    from sparkctl.errors import SparkctlError
    from sparkctl.node.difference import Plan
    from sparkctl.output.stdio import Fields
    from sparkctl.plan.desired import Desired


def print_plan(found: Forecast, *, as_json: bool) -> None:
    """Print each node's environment and commands, what would change, and what would stop `up`."""
    if as_json:
        print_json(forecast_document(found))
        return
    for line in plan_lines(found.desired):
        print_out(line)
    for text in _remarks(found):
        print_wrapped(text, margin="# ")
    for text in _stops(found):
        print_err(text, margin="# ")


def forecast_text(found: Forecast) -> str:
    """What `print_plan` prints, in one text."""
    remarks = (f"# {text}" for text in (*_remarks(found), *_stops(found)))
    return "\n".join([*plan_lines(found.desired), *remarks]) + "\n"


def forecast_document(found: Forecast) -> Fields:
    """The document of `plan`."""
    desired, plan = found.desired, found.plan
    recipes = {d.inventory.service: {"name": d.recipe.name, "why": d.recipe.why} for d in desired}
    return {
        "cluster": desired[0].inventory.cluster,
        "nodes": plan_document(desired),
        "units": [_unit(d, name) for d in desired for name in d.units],
        "changes": [str(change) for change in plan.changes],
        "blocked": _blocked(plan),
        "blocked_changes": [blocked_change(b) for b in plan.blocked],
        "left_alone": [one.document() for one in found.left],
        "recipe": next(iter(recipes.values())),
        "recipes": recipes,
        "problems": [_problem(failure) for failure in found.failures],
        "refusals": [_refusal(error) for error in found.refusals],
        "warnings": [str(doubt) for doubt in found.doubts],
        "doubts": [doubt.document() for doubt in found.doubts],
        "exit_code": found.exit_code,
    }


def _remarks(found: Forecast) -> Iterator[str]:
    yield from (str(d.recipe) for d in found.desired)
    yield from (f"warning: {doubt}" for doubt in found.doubts)
    yield from map(str, found.plan.changes or ("no changes",))
    yield from _blocked(found.plan)


def _stops(found: Forecast) -> Iterator[str]:
    yield from (f"would stop up: {error}" for error in found.refusals)
    what = "would stop up" if found.starts else "would stop a start, and up has nothing to start"
    yield from (f"{what}: {failure}" for failure in found.failures)


def _blocked(plan: Plan) -> list[str]:
    return [f"blocked by {b.by}, which could not be read: {b.change}" for b in plan.blocked]


def _refusal(error: SparkctlError) -> Fields:
    return {"code": error.code, "node": error.node, "summary": error.message, "data": error.data}


def _unit(desired: Desired, name: str) -> Fields:
    unit = desired.units[name]
    return {
        "id": name,
        "node": unit.node,
        "kind": unit.kind,
        "service": desired.inventory.service,
        "needs": [need.unit for need in unit.needs],
        "argv": unit.program.argv,
        "inside": unit.program.inside,
        "environment": dict(unit.program.environment),
    }


def _problem(failure: Finding) -> Fields:
    fields = ("check", "code", "node", "summary", "data")
    document = failure.document()
    return {name: document[name] for name in fields}


def print_env(desired: Sequence[Desired], nodes: Collection[str], *, as_json: bool) -> None:
    """Print each variable of these nodes with its layer."""
    if as_json:
        print_json(env_document(desired, nodes))
        return
    for line in env_lines(desired, nodes):
        print_out(line)


def plan_document(desired: Sequence[Desired]) -> dict[str, Fields]:
    """Each node's environment and command lines, by node."""
    return {
        name: {
            "environment": {k: s.value for k, s in part.environment.items()},
            "ray": one.argv(name, "ray"),
            "vllm": one.argv(name, "vllm"),
        }
        for one in desired
        for name, part in one.parts.items()
    }


def plan_lines(desired: Sequence[Desired]) -> Iterator[str]:
    """The same as a shell reads it."""
    for one in desired:
        for name, part in one.parts.items():
            role = "head" if part is one.head else "worker"
            yield f"# {name} ({role})"
            for key, setting in part.environment.items():
                yield f"export {key}={shlex.quote(setting.value)}"
            for unit in one.units.values():
                if unit.node == name:
                    for key, value in unit.program.environment.items():
                        yield f"export {key}={shlex.quote(value)}"
                    names = (*part.environment, *unit.program.environment)
                    within = one.runtime.inside(one.places[name], *names)
                    inside = within if unit.program.inside else ()
                    yield shlex.join((*inside, *unit.program.argv))
            yield ""


def env_document(desired: Sequence[Desired], nodes: Collection[str]) -> dict[str, Fields]:
    """Each variable's value and layer, by node and name."""
    return {
        name: {k: {"value": s.value, "layer": s.layer} for k, s in part.environment.items()}
        for name, part in _parts(desired, nodes)
    }


def env_lines(desired: Sequence[Desired], nodes: Collection[str]) -> Iterator[str]:
    """The same as aligned lines."""
    for name, part in _parts(desired, nodes):
        yield f"# {name}"
        lines = {f"{k}={_visible(s.value)}": s.layer for k, s in part.environment.items()}
        width = max(map(len, lines))
        for line, layer in lines.items():
            yield f"{line:<{width}}  # {layer}"


def _visible(value: str) -> str:
    """The value, quoted for a shell only where its end or a quote would not be seen."""
    return value if SEPARATE.fullmatch(value) else shlex.quote(value)


def _parts(desired: Sequence[Desired], nodes: Collection[str]) -> list[tuple[str, Part]]:
    return [(name, part) for d in desired for name, part in d.parts.items() if name in nodes]
