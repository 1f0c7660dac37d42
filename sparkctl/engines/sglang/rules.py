"""Settings of SGLang that are allowed and most likely a mistake on GB10; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.sglang.recipe import MINIMAX_M2
from sparkctl.engines.vllm.rules import doubt, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.doubts import Doubt
    from sparkctl.engines.choice import Choice
    from sparkctl.inventory.models import Argument, Inventory

# Each turns both captures off.
NO_GRAPHS = (
    {"disable-cuda-graph"},
    {"disable-decode-cuda-graph", "disable-prefill-cuda-graph"},
)
DISABLED = ("cuda-graph-backend-decode", "cuda-graph-backend-prefill")


def cuda_graphs(arguments: Mapping[str, Argument]) -> bool:
    """Whether SGLang captures any CUDA graphs, as it does by default (0.5.23, read)."""
    on = {name for name, value in arguments.items() if value is True}
    off = all(arguments.get(name) == "disabled" for name in DISABLED)
    return not (off or any(flags <= on for flags in NO_GRAPHS))


def warnings(inventory: Inventory, environment: Mapping[str, str], recipe: Choice) -> list[Doubt]:
    """The doubtful settings; `setting` in a doubt's data is the variable or key it is about."""
    arguments = {**recipe.defaults, **inventory.vllm.arguments}
    found = [*variables(environment, inventory.key)]
    if recipe.fits(MINIMAX_M2) and cuda_graphs(arguments):
        text = (
            "the capture of CUDA graphs does not end with MiniMax MoE on two Sparks; set"
            " disable-decode-cuda-graph and disable-prefill-cuda-graph to true"
        )
        found.append(doubt("cuda-graphs-deadlock", f"{inventory.key}.arguments", text))
    return found
