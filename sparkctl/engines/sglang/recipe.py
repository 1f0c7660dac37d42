"""SGLang's default arguments on GB10, for every model and for some architectures; pure.

The inventory's arguments change or drop each, `recipe` chooses the recipe: the names are vLLM's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.engines.choice import REMOTE_CODE, Recipe
from sparkctl.engines.share import Share
from sparkctl.engines.vllm import recipe as vllm
from sparkctl.engines.vllm.engine import head_recipe

if TYPE_CHECKING:
    from sparkctl.engines.choice import Choice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Argument, Inventory

# For every model. SGLang's own choice for one GPU leaves the CPU, which shares the memory, little.
# Without metrics a busy engine and one that hangs look alike.
BASE: dict[str, Argument] = {"mem-fraction-static": 0.85, "enable-metrics": True}
# About what SGLang takes without the flag (0.5.23, read).
SHARE = Share("mem-fraction-static", BASE, otherwise=0.9)
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
    return _own(head_recipe(inventory, facts))


def unread(inventory: Inventory) -> Choice:
    """The recipe by the inventory alone."""
    return _own(vllm.choose_recipe(inventory.vllm, None, inventory.key))


def _own(found: Choice) -> Choice:
    return replace(found, recipe=RECIPES.get(found.name or ""), base=BASE, names=(*RECIPES,))
