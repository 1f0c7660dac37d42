"""Settings of SGLang that are allowed and most likely a mistake on GB10; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.sglang.recipe import MINIMAX_M2
from sparkctl.engines.vllm.rules import doubt, variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.doubts import Doubt
    from sparkctl.engines.choice import Choice
    from sparkctl.inventory.models import Inventory

# Each turns both captures off.
NO_GRAPHS = (
    {"disable-cuda-graph"},
    {"disable-decode-cuda-graph", "disable-prefill-cuda-graph"},
)
DISABLED = ("cuda-graph-backend-decode", "cuda-graph-backend-prefill")


def warnings(inventory: Inventory, environment: Mapping[str, str], recipe: Choice) -> list[Doubt]:
    """The doubtful settings; `setting` in a doubt's data is the variable or key it is about."""
    arguments = {**recipe.defaults, **inventory.vllm.arguments}
    found = [*variables(environment, inventory.key)]
    on = {name for name, value in arguments.items() if value is True}
    off = any(flags <= on for flags in NO_GRAPHS)
    off = off or all(arguments.get(name) == "disabled" for name in DISABLED)
    if recipe.fits(MINIMAX_M2) and not off:
        text = (
            "the capture of CUDA graphs does not end with MiniMax MoE on two Sparks; set"
            " disable-decode-cuda-graph and disable-prefill-cuda-graph to true"
        )
        found.append(doubt("cuda-graphs-deadlock", f"{inventory.key}.arguments", text))
    return found
