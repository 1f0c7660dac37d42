"""`plan` and `env` as lines and as JSON; secrets in the wish show a mask by themselves."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from sparkctl.output.stdio import print_err, print_json, print_out
from sparkctl.text import SEPARATE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sparkctl.doctor.finding import Finding
    from sparkctl.doubts import Doubt
    from sparkctl.output.stdio import Fields
    from sparkctl.plan.desired import NodeWish, Wish
    from sparkctl.plan.diff import Difference


def print_plan(
    wish: Wish,
    difference: Difference,
    failures: Sequence[Finding],
    doubts: Sequence[Doubt],
    *,
    as_json: bool,
) -> None:
    """Print each node's environment and commands, what would change, and what would stop `up`."""
    changes = [str(change) for change in difference.changes]
    if as_json:
        document = {
            "cluster": wish.inventory.cluster,
            "nodes": plan_document(wish),
            "changes": changes,
            "recipe": {"name": wish.recipe.name, "why": wish.recipe.why},
            "problems": [_problem(failure) for failure in failures],
            "warnings": [str(doubt) for doubt in doubts],
            "doubts": [doubt.document() for doubt in doubts],
        }
        print_json(document)
        return
    from sparkctl.output.console import print_prose, wide_console

    for line in plan_lines(wish):
        print_out(line)
    warnings = [f"warning: {doubt}" for doubt in doubts]
    for text in (str(wish.recipe), *warnings, *(changes or ["no changes"])):
        print_prose(wide_console(), text, hang=4, margin="# ")
    for failure in failures:
        print_err(f"# would stop up: {failure}")


def _problem(failure: Finding) -> Fields:
    fields = ("check", "code", "node", "summary", "data")
    document = failure.document()
    return {name: document[name] for name in fields}


def print_env(wishes: Sequence[Wish], nodes: Collection[str], *, as_json: bool) -> None:
    """Print each variable of these nodes with its layer, by service."""
    if as_json:
        print_json({k: v for wish in wishes for k, v in env_document(wish, nodes).items()})
        return
    for wish in wishes:
        for line in env_lines(wish, nodes):
            print_out(line)


def plan_document(wish: Wish) -> dict[str, Fields]:
    """Each node's environment and command lines, by node."""
    return {
        name: {
            "environment": {k: s.value for k, s in part.environment.items()},
            "ray": part.ray_argv,
            "vllm": part.vllm_argv,
        }
        for name, part in wish.nodes.items()
    }


def plan_lines(wish: Wish) -> Iterator[str]:
    """The same as a shell reads it."""
    for name, part in wish.nodes.items():
        yield f"# {name} ({part.node.role})"
        for key, setting in part.environment.items():
            yield f"export {key}={shlex.quote(setting.value)}"
        yield shlex.join(part.ray_argv)
        if part.vllm_argv:
            yield f"export RAY_ADDRESS={wish.ray_address}"
            yield shlex.join(part.vllm_argv)
        yield ""


def env_document(wish: Wish, nodes: Collection[str]) -> dict[str, Fields]:
    """Each variable's value and layer, by node and name."""
    return {
        name: {k: {"value": s.value, "layer": s.layer} for k, s in part.environment.items()}
        for name, part in _parts(wish, nodes)
    }


def env_lines(wish: Wish, nodes: Collection[str]) -> Iterator[str]:
    """The same as aligned lines."""
    for name, part in _parts(wish, nodes):
        yield f"# {name}"
        lines = {f"{k}={_visible(s.value)}": s.layer for k, s in part.environment.items()}
        width = max(map(len, lines))
        for line, layer in lines.items():
            yield f"{line:<{width}}  # {layer}"


def _visible(value: str) -> str:
    """The value, quoted for a shell only where its end or a quote would not be seen."""
    return value if SEPARATE.fullmatch(value) else shlex.quote(value)


def _parts(wish: Wish, nodes: Collection[str]) -> list[tuple[str, NodeWish]]:
    return [(name, part) for name, part in wish.nodes.items() if name in nodes]
