"""Which settings are doubtful; the recipe's own are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm import rules
from sparkctl.engines.vllm.environment import BUILT_IN
from sparkctl.engines.vllm.recipe import choose_recipe
from tests.unit.answers import config_json
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.doubts import Doubt

DEADLOCK = ("cuda-graphs-deadlock", "vllm.arguments.compilation-config")
NO_RAY = ("executor-without-ray", "vllm.arguments.distributed-executor-backend")


def warnings(text: str, environment: dict[str, str], *architectures: str) -> list[Doubt]:
    """For a model whose config.json has these architectures; without any, MiniMax-M2's."""
    loaded = parse(text.encode(), "x")
    named = architectures or ("MiniMaxM2ForCausalLM",)
    recipe = choose_recipe(loaded.vllm, config_json(*named))
    return rules.warnings(loaded, environment, recipe)


def codes(doubts: list[Doubt]) -> list[tuple[str, object]]:
    """Each doubt's code and setting, with which its text begins."""
    assert all(d.text.startswith(f"{d.data['setting']}: ") for d in doubts)
    return [(d.code, d.data["setting"]) for d in doubts]


def test_the_recipe_is_not_doubtful() -> None:
    assert warnings(GOOD, BUILT_IN) == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("VLLM_NVFP4_GEMM_BACKEND", "cutlass", "unread-variable"),
        ("VLLM_USE_FLASHINFER_MOE_FP4", "0", "unread-variable"),
        ("VLLM_ATTENTION_BACKEND", "FLASHINFER", "unread-variable"),
        ("SAFETENSORS_FAST_GPU", "1", "unread-variable"),
        ("NCCL_IB_DISABLE", "true", "not-a-number"),
        ("NCCL_IB_DISABLE", "1", "rdma-disabled"),
        ("NCCL_IB_DISABLE", "0x1", "rdma-disabled"),
        ("NCCL_IB_GID_INDEX", "", "not-a-number"),
        ("NCCL_IB_GID_INDEX", "3", "pinned-gid-index"),
        ("GLOO_SOCKET_IFNAME", "^docker0", "not-one-interface"),
        ("VLLM_USE_RAY_V2_EXECUTOR_BACKEND", "0", "old-ray-executor"),
        ("TP_SOCKET_IFNAME", "a,b", "not-one-interface"),
    ],
)
def test_doubtful_variables(name: str, value: str, code: str) -> None:
    assert codes(warnings(GOOD, {**BUILT_IN, name: value})) == [(code, name)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NCCL_IB_DISABLE", "0x0"),
        ("NCCL_IB_DISABLE", "08"),  # 0 in C: 8 is no octal digit
        ("VLLM_USE_RAY_V2_EXECUTOR_BACKEND", "1"),
        ("GLOO_SOCKET_IFNAME", "enp1s0f0np0"),
    ],
)
def test_variables_that_do_no_harm(name: str, value: str) -> None:
    assert warnings(GOOD, {**BUILT_IN, name: value}) == []


@pytest.mark.parametrize(
    ("arguments", "doubt"),
    [
        ("compilation-config: null", DEADLOCK),
        ("compilation-config: {mode: 3}", DEADLOCK),
        ("compilation-config: 3", DEADLOCK),
        ('compilation-config: \'{"cudagraph_mode": "FULL"}\'', DEADLOCK),
        (
            "compilation-config: {cudagraph_mode: none, level: 3}",
            ("compilation-level", DEADLOCK[1]),
        ),
        (
            "enable-expert-parallel: true",
            ("expert-parallel", "vllm.arguments.enable-expert-parallel"),
        ),
        ("distributed-executor-backend: mp", NO_RAY),
        ("distributed-executor-backend: null", NO_RAY),
    ],
)
def test_doubtful_arguments(arguments: str, doubt: tuple[str, str]) -> None:
    assert codes(warnings(f"{GOOD}  arguments: {{{arguments}}}\n", {})) == [doubt]


@pytest.mark.parametrize(
    "arguments",
    [
        "{compilation-config: null, enforce-eager: true}",
        "{}",
        """{compilation-config: '{"cudagraph_mode": "none"}'}""",
        "{compilation-config: not JSON}",
    ],
)
def test_disabled_graphs_are_not_doubtful(arguments: str) -> None:
    assert warnings(f"{GOOD}  arguments: {arguments}\n", {}) == []


GRAPHS = GOOD + "  arguments: {compilation-config: null}\n"


def test_other_models_may_have_graphs_whatever_their_path() -> None:
    assert warnings(GRAPHS.replace("/models/m", "/models/MiniMax-M2"), {}, "LlamaForCausalLM") == []


def test_graphs_are_doubtful_by_architecture_without_the_recipe_too() -> None:
    assert codes(warnings(GOOD + "  recipe: none\n", {})) == [DEADLOCK]


def test_without_a_node_the_architecture_is_the_named_recipes_or_unknown() -> None:
    for text, expected in ((GRAPHS, []), (GRAPHS + "  recipe: minimax-m2\n", [DEADLOCK])):
        loaded = parse(text.encode(), "x")
        assert codes(rules.warnings(loaded, {}, choose_recipe(loaded.vllm, None))) == expected
