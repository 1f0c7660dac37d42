"""vLLM, as rows of the table of engines: over Ray, and over its own multiprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.engines.choice import AUTO
from sparkctl.engines.engine import Ended, Engine, Graphs, Judged
from sparkctl.engines.vllm import launcher, mp, ray
from sparkctl.engines.vllm.arguments import cuda_graphs
from sparkctl.engines.vllm.environment import render
from sparkctl.engines.vllm.recipe import SHARE, choose_recipe
from sparkctl.engines.vllm.rules import problems, warnings
from sparkctl.engines.vllm.tls import api_base
from sparkctl.facts.unread import Unread, known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.engines.choice import Choice
    from sparkctl.engines.engine import Progress
    from sparkctl.engines.explanation import Explanation
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory
    from sparkctl.node.units import Unit


def head_recipe(inventory: Inventory, facts: NodeFacts) -> Choice:
    """The recipe by the head's facts; an explicit `recipe` needs none.

    Raises Missing when they are needed and could not be read: a running model would otherwise be
    restarted with other arguments.
    """
    vllm = inventory.vllm
    found = facts.config_json
    if vllm.recipe == AUTO:
        return choose_recipe(vllm, known(found), inventory.key)
    return choose_recipe(vllm, None if isinstance(found, Unread) else found, inventory.key)


def _progress() -> Progress:
    from sparkctl.engines.vllm.progress import Progress as Log  # patterns that only a start needs

    return Log()


def _explain(progress: Progress, *, waited: bool) -> Explanation | None:
    from sparkctl.engines.vllm.diagnosis import explain_start
    from sparkctl.engines.vllm.progress import Progress as Log

    return explain_start(progress, waited=waited) if isinstance(progress, Log) else None


def _ended(unit: Unit, status: int | None, tail: Sequence[str]) -> Ended:
    from sparkctl.engines.vllm.diagnosis import explain_ray

    text, known_failure = explain_ray([*tail], status, unit.program.ends)
    return Ended("ray-start", text, known_failure)


OVER_RAY = Engine(
    title="vLLM",
    kind=launcher.SERVE,
    executors=("ray", "mp"),
    units=ray.units,
    environment=render,
    base=lambda inventory, host: api_base(inventory.vllm, host),
    model=launcher.model,
    own=ray.own_environment,
    recipe=head_recipe,
    unread=lambda inventory: choose_recipe(inventory.vllm, None, inventory.key),
    doubts=warnings,
    problems=problems,
    secrets=(ray.TOKEN,),
    judged=Judged(
        modules=("torch", "ray", "vllm"),
        # Ray's workers refuse another Ray (2.60, run); ranks with another vLLM or torch hang
        # (reports of DGX Spark users).
        packages=("ray", "vllm", "torch"),
        memory=SHARE,
        checkpoint=True,
        recipes=True,
        steps=True,
        counted="drop disable-log-stats from {key}.arguments, so that vLLM counts its steps",
        graphs=Graphs(cuda_graphs, "cudagraph_mode: none in {key}.arguments compilation-config"),
    ),
    progress=_progress,
    explain=_explain,
    ended=_ended,
)
OVER_MP = replace(
    OVER_RAY,
    units=mp.units,
    own=launcher.own_environment,
    secrets=(),
    judged=replace(OVER_RAY.judged, modules=("torch", "vllm"), packages=("vllm", "torch")),
    problems=mp.problems,
    ports=mp.ports,
)
VLLM = replace(OVER_RAY, over={"mp": OVER_MP})
