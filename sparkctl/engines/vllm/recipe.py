"""vLLM's default arguments on GB10, for every model and for some architectures; pure.

A service's `arguments` changes or drops each argument, its `recipe` chooses the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.choice import AUTO, REMOTE_CODE, Choice, Recipe
from sparkctl.engines.share import Share
from sparkctl.inventory.models import SHORT
from sparkctl.node import modelpath

if TYPE_CHECKING:
    from sparkctl.facts.groups import ModelConfig
    from sparkctl.inventory.models import Argument, Vllm

# For every model. No recipe repeats these, so reading them needs no node's facts.
BASE: dict[str, Argument] = {
    # vLLM's default, 0.92, is too much where the CPU shares the memory (0.14 to 0.33, compared).
    "gpu-memory-utilization": 0.85,
}
# vLLM 0.20 and later (0.14 to 0.33, compared).
SHARE = Share("gpu-memory-utilization", BASE, otherwise=0.92)
BACKEND = "distributed-executor-backend"  # by the service's executor

MINIMAX_M2 = Recipe(
    "minimax-m2",
    ("MiniMaxM2ForCausalLM",),
    {
        "max-model-len": 196608,
        "kv-cache-dtype": "fp8_e4m3",
        "attention-backend": "flashinfer",
        "enable-prefix-caching": True,
        "enable-chunked-prefill": True,
        "max-num-seqs": 64,
        "max-num-batched-tokens": 8192,
        # Neither vLLM nor transformers before 5 knows the model type minimax_m2.
        REMOTE_CODE: True,
        "enable-auto-tool-choice": True,
        "tool-call-parser": "minimax_m2",
        "reasoning-parser": "minimax_m2_append_think",
        # The default, FULL_AND_PIECEWISE, deadlocks MiniMax MoE on GB10. vLLM sets both combo flags
        # when both are absent (run on vLLM 0.32).
        "compilation-config": {
            "cudagraph_mode": "none",
            "inductor_compile_config": {
                "combo_kernels": False,
                "benchmark_combo_kernel": False,
                "max_autotune": False,
                "max_autotune_gemm": False,
            },
        },
    },
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (MINIMAX_M2,)}


def choose_recipe(vllm: Vllm, found: ModelConfig | None, key: str = SHORT) -> Choice:
    """The recipe for a model, by the settings that the inventory has at `key`.

    `found` is node/modelconfig.py's answer on the head, None where no node was contacted.
    """
    architectures = tuple((found and found.architectures) or ())
    is_path = modelpath.is_path(vllm.model)
    if vllm.recipe == AUTO:
        recipe, why = _by_architecture(found, architectures)
    else:
        recipe, why = RECIPES.get(vllm.recipe), f"{key}.recipe is {vllm.recipe}"
    if recipe and REMOTE_CODE in recipe.arguments and not is_path:
        why += f"; without {REMOTE_CODE}, which is never a default for a model from the hub"
    unknown = vllm.recipe == AUTO and not architectures
    return Choice(
        recipe,
        why,
        architectures,
        base={BACKEND: vllm.executor, **BASE},
        names=(*RECIPES,),
        remote_code=is_path,
        unknown=unknown,
        key=key,
    )


def _by_architecture(
    found: ModelConfig | None, architectures: tuple[str, ...]
) -> tuple[Recipe | None, str]:
    """The recipe for any of these architectures, and why."""
    if found is None:
        return None, "the model's architecture is unknown without a node"
    if not architectures:
        return None, printable(found.error or "no architecture")
    recipe = next((r for r in RECIPES.values() if {*r.architectures} & {*architectures}), None)
    names, path = printable(", ".join(architectures)), printable(str(found.path))
    return recipe, f"{path} names {names}" if recipe else f"none is known for {names} ({path})"


def printable(text: str) -> str:
    """A node's text for a terminal, without control characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
