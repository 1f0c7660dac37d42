"""Doubtful settings are warned of, the recipe's own are not."""

from __future__ import annotations

import pytest

from sparkctl.serving import rules
from sparkctl.serving.environment import BUILT_IN
from sparkctl.serving.inventory import parse
from sparkctl.serving.recipe import choose_recipe
from tests.unit.answers import config_json
from tests.unit.test_inventory import GOOD


def warnings(text: str, environment: dict[str, str], *architectures: str) -> list[str]:
    """Of an inventory whose model's config.json names these; of none: MiniMax-M2's."""
    loaded = parse(text.encode(), "x")
    named = architectures or ("MiniMaxM2ForCausalLM",)
    recipe = choose_recipe(loaded.vllm, config_json(*named))
    return rules.warnings(loaded, environment, recipe)


def test_the_recipe_is_beyond_doubt() -> None:
    assert warnings(GOOD, BUILT_IN) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VLLM_NVFP4_GEMM_BACKEND", "cutlass", "linear-backend"),
        ("VLLM_USE_FLASHINFER_MOE_FP4", "0", "moe-backend"),
        ("VLLM_ATTENTION_BACKEND", "FLASHINFER", "attention-backend"),
        ("SAFETENSORS_FAST_GPU", "1", "leave it out"),
        ("NCCL_IB_DISABLE", "true", "NCCL reads 'true' as 0"),
        ("NCCL_IB_DISABLE", "1", "turns RDMA off"),
        ("NCCL_IB_GID_INDEX", "", "NCCL reads '' as 0"),
        ("NCCL_IB_GID_INDEX", "3", "leave it out"),
        ("GLOO_SOCKET_IFNAME", "^docker0", "one literal interface"),
        ("VLLM_USE_RAY_V2_EXECUTOR_BACKEND", "0", "overwrites"),
        ("TP_SOCKET_IFNAME", "a,b", "one literal interface"),
    ],
)
def test_variables(name: str, value: str, said: str) -> None:
    [warning] = warnings(GOOD, {**BUILT_IN, name: value})
    assert warning.startswith(f"{name}: ")
    assert said in warning


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("compilation-config: null", "deadlocks"),
        ("compilation-config: {mode: 3}", "deadlocks"),
        ("compilation-config: {cudagraph_mode: none, level: 3}", "it is called mode now"),
        ('compilation-config: \'{"cudagraph_mode": "FULL"}\'', "deadlocks"),
        ("enable-expert-parallel: true", "known to break on GB10"),
        ("distributed-executor-backend: mp", "set ray"),
        ("distributed-executor-backend: null", "set ray"),
    ],
)
def test_arguments(arguments: str, said: str) -> None:
    [warning] = warnings(f"{GOOD}  arguments: {{{arguments}}}\n", {})
    assert warning.startswith("vllm.arguments.")
    assert said in warning


@pytest.mark.parametrize(
    "arguments",
    ["{compilation-config: null, enforce-eager: true}", "{}",
     """{compilation-config: '{"cudagraph_mode": "none"}'}"""],
)  # fmt: skip
def test_graphs_that_are_off_are_no_doubt(arguments: str) -> None:
    assert warnings(f"{GOOD}  arguments: {arguments}\n", {}) == []


GRAPHS = GOOD + "  arguments: {compilation-config: null}\n"


def test_other_models_may_have_graphs_whatever_they_are_called() -> None:
    assert warnings(GRAPHS.replace("/models/m", "/models/MiniMax-M2"), {}, "LlamaForCausalLM") == []


def test_graphs_are_doubted_by_architecture_without_the_recipe_too() -> None:
    [warning] = warnings(GOOD + "  recipe: none\n", {})
    assert "deadlocks" in warning


def test_without_a_node_the_architecture_is_the_named_recipes_or_unknown() -> None:
    for text, count in ((GRAPHS, 0), (GRAPHS + "  recipe: minimax-m2\n", 1)):
        loaded = parse(text.encode(), "x")
        assert len(rules.warnings(loaded, {}, choose_recipe(loaded.vllm, None))) == count
