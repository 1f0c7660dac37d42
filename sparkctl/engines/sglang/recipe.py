"""SGLang's default arguments on GB10, for every model and for some architectures; pure.

The inventory's arguments change or drop each, `recipe` chooses the recipe: the names are vLLM's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.engines.choice import REMOTE_CODE, Recipe
from sparkctl.engines.vllm import recipe as vllm
from sparkctl.engines.vllm.engine import head_recipe

if TYPE_CHECKING:
    from sparkctl.engines.choice import Choice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Argument, Inventory

# For every model. SGLang's own choice for one GPU leaves the CPU, which shares the memory, little.
BASE: dict[str, Argument] = {"mem-fraction-static": 0.85}
SHARE = 0.9  # about what SGLang takes without the flag (0.5.23, read)
MINIMAX_M2 = Recipe(
    vllm.MINIMAX_M2.name,
    vllm.MINIMAX_M2.architectures,
    {
        "kv-cache-dtype": "fp8_e4m3",
        "max-running-requests": 16,
        "chunked-prefill-size": 8192,
        REMOTE_CODE: True,
        # SGLang refuses vLLM's spelling with underscores.
        "tool-call-parser": "minimax-m2",
        "reasoning-parser": "minimax-append-think",
        # Their capture never ends with this model on two Sparks (SGLang 0.5.12, report of a user).
        "disable-decode-cuda-graph": True,
        "disable-prefill-cuda-graph": True,
    },
)
RECIPES = {recipe.name: recipe for recipe in (MINIMAX_M2,)}


def choose(inventory: Inventory, facts: NodeFacts) -> Choice:
    """The recipe by the head's facts; see head_recipe, which raises Missing."""
    found = head_recipe(inventory, facts)
    return replace(found, recipe=RECIPES.get(found.name or ""), base=BASE, names=(*RECIPES,))


def memory_share(inventory: Inventory) -> float:
    """The share of a node's memory that SGLang claims for weights and KV cache, from 0 to 1."""
    value = {**BASE, **inventory.vllm.arguments}.get("mem-fraction-static")
    try:
        return SHARE if value is None else float(str(value))
    except ValueError:
        return SHARE  # SGLang refuses the value
