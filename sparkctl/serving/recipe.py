"""vLLM's arguments for GB10, and those of a recipe for the model's architecture; pure.

Each argument can be changed or dropped in vllm.arguments, the recipe chosen in vllm.recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.node import modelpath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.groups import ModelConfig
    from sparkctl.inventory.models import Argument, Vllm

# Flags that have a field of their own in the inventory; vllm.arguments may not repeat them.
FIELDS: dict[str, str] = {
    "model": "vllm.model",
    "host": "vllm.host",
    "port": "vllm.port",
    "served-model-name": "vllm.served_model_name",
    "tensor-parallel-size": "vllm.tensor_parallel_size",
}

# For every model. No recipe repeats these: what reads them needs no node's facts.
BASE: dict[str, Argument] = {
    "distributed-executor-backend": "ray",
    # 0.92 is vLLM's default, too much for memory that the CPU shares (vLLM 0.14 to 0.33, compared).
    "gpu-memory-utilization": 0.85,
}
# Runs Python code that comes with the model: only for a directory that somebody put on the node.
REMOTE_CODE = "trust-remote-code"
AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Recipe:
    """vLLM's arguments for models of these architectures, classes named in config.json."""

    name: str
    architectures: tuple[str, ...]
    arguments: Mapping[str, Argument]


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
        # transformers before 5 does not know the model type minimax_m2, nor does vLLM itself.
        REMOTE_CODE: True,
        "enable-auto-tool-choice": True,
        "tool-call-parser": "minimax_m2",
        "reasoning-parser": "minimax_m2_append_think",
        # The default, FULL_AND_PIECEWISE, deadlocks MiniMax MoE on GB10; both combo flags must be
        # given, vLLM sets them when both are absent (run on vLLM 0.32).
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


@dataclass(frozen=True)
class Choice:
    """The recipe of a model, null where there is none, and why.

    `unknown`: vllm.recipe is auto and the model's architecture could not be found.
    """

    recipe: Recipe | None
    why: str
    architectures: tuple[str, ...] = ()
    remote_code: bool = False
    unknown: bool = False

    @property
    def name(self) -> str | None:
        """The recipe's name."""
        return self.recipe.name if self.recipe else None

    @property
    def defaults(self) -> dict[str, Argument]:
        """vLLM's arguments below those of the inventory."""
        own = self.recipe.arguments if self.recipe else {}
        return {
            **BASE,
            **{k: v for k, v in own.items() if k != REMOTE_CODE or self.remote_code},
        }

    def fits(self, recipe: Recipe) -> bool:
        """Whether the model is one that this recipe is for."""
        return self.recipe is recipe or any(a in recipe.architectures for a in self.architectures)

    def __str__(self) -> str:
        if self.recipe:
            return f"recipe {self.name}: {self.why}"
        names = f"{', '.join(RECIPES)} or {NONE}"
        return f"no recipe: {self.why}" + f"; set vllm.recipe ({names})" * self.unknown


def choose_recipe(vllm: Vllm, found: ModelConfig | None) -> Choice:
    """The recipe for a model by what node/modelconfig.py found on the head; None: nobody looked."""
    architectures = tuple((found and found.architectures) or ())
    is_path = modelpath.is_path(vllm.model)
    unknown = False
    if vllm.recipe != AUTO:
        recipe, why = RECIPES.get(vllm.recipe), f"vllm.recipe is {vllm.recipe}"
    elif found is None:
        recipe, why, unknown = None, "no node was asked for the model's architecture", True
    elif not architectures:
        recipe, why, unknown = None, printable(found.error or "no architecture"), True
    else:
        recipe = next((r for r in RECIPES.values() if {*r.architectures} & {*architectures}), None)
        names, path = printable(", ".join(architectures)), printable(str(found.path))
        why = f"{path} names {names}" if recipe else f"none is known for {names} ({path})"
    if recipe and REMOTE_CODE in recipe.arguments and not is_path:
        why += f"; without {REMOTE_CODE}, which is never a default for a model from the hub"
    return Choice(recipe, why, architectures, remote_code=is_path, unknown=unknown)


def printable(text: str) -> str:
    """The text without control characters: a node's answer ends up in a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
