"""The command lines of the recipe, and how the inventory changes them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.commandline import (
    ray_head_argv,
    ray_worker_argv,
    vllm_argv,
)
from sparkctl.engines.vllm.recipe import SHARE, choose_recipe
from sparkctl.remote.command import Command
from tests.unit.answers import config_json
from tests.unit.test_inventory import GOOD

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory


def inventory(extra: str = "") -> Inventory:
    return parse((GOOD + extra).encode(), "x")


def line(loaded: Inventory, *architectures: str) -> str:
    """vLLM's command line where the model's config.json names these."""
    found = config_json(*architectures, error="gone")
    return shlex.join(vllm_argv(loaded, choose_recipe(loaded.vllm, found), "/home/u"))


def test_vllm_is_the_recipe_of_the_architecture() -> None:
    loaded = inventory("  served_model_name: MiniMax\n")
    assert line(loaded, "MiniMaxM2ForCausalLM") == (
        "'~/vllm/bin/vllm' serve /models/m --host 0.0.0.0 --port 30000"
        " --served-model-name MiniMax --tensor-parallel-size 2"
        " --distributed-executor-backend ray --gpu-memory-utilization 0.85"
        " --max-model-len 196608 --kv-cache-dtype fp8_e4m3 --attention-backend flashinfer"
        " --enable-prefix-caching --enable-chunked-prefill --max-num-seqs 64"
        " --max-num-batched-tokens 8192 --trust-remote-code --enable-auto-tool-choice"
        " --tool-call-parser minimax_m2 --reasoning-parser minimax_m2_append_think"
        ' --compilation-config \'{"cudagraph_mode":"none","inductor_compile_config":'
        '{"combo_kernels":false,"benchmark_combo_kernel":false,"max_autotune":false,'
        '"max_autotune_gemm":false}}\''
    )


@pytest.mark.parametrize("architectures", [("Qwen3MoeForCausalLM",), ()])
def test_another_architecture_gets_the_arguments_for_every_model(
    architectures: tuple[str, ...],
) -> None:
    loaded = parse(GOOD.replace("/models/m", "Qwen/Qwen3").encode(), "x")
    assert line(loaded, *architectures) == (
        "'~/vllm/bin/vllm' serve Qwen/Qwen3 --host 0.0.0.0 --port 30000 --tensor-parallel-size 2"
        " --distributed-executor-backend ray --gpu-memory-utilization 0.85"
    )


def test_the_model_is_under_the_heads_home() -> None:
    loaded = parse(GOOD.replace("/models/m", "~/my models/m").encode(), "x")
    assert " serve '/home/u/my models/m' " in line(loaded)


def test_arguments_change_add_and_drop() -> None:
    text = line(
        inventory(
            "  arguments: {max-model-len: 4096, attention-backend: null,"
            " enable-prefix-caching: false, middleware: [a, b],"
            " enable-log-requests: true, hf-overrides: {x: 1}}\n"
        ),
        "MiniMaxM2ForCausalLM",
    )
    assert "--max-model-len 4096" in text
    assert "attention-backend" not in text
    assert "prefix-caching" not in text
    assert text.endswith("--middleware a b --enable-log-requests --hf-overrides '{\"x\":1}'")


def test_ray_head_and_worker() -> None:
    loaded = inventory("ray: {num_gpus: 1, object_store_memory: 200000000}\n")
    assert shlex.join(ray_head_argv(loaded, "192.168.100.11", "/tmp/t")) == (
        "'~/vllm/bin/ray' start --head --port 6379 --dashboard-port 8265 --temp-dir /tmp/t"
        " --node-ip-address 192.168.100.11 --disable-usage-stats"
        " --object-store-memory 200000000 --num-gpus 1"
    )
    assert shlex.join(ray_worker_argv(loaded, "192.168.100.12", "192.168.100.11")) == (
        "'~/vllm/bin/ray' start --address 192.168.100.11:6379 --node-ip-address 192.168.100.12"
        " --disable-usage-stats --object-store-memory 200000000 --num-gpus 1"
    )


def test_a_command_is_quoted_in_one_place() -> None:
    command = Command(("printf", "%s", "a b", "$(rm -rf /)", "it's"), timeout=1.5)
    assert command.shell() == (
        'timeout --kill-after=5 1.5 sh -c \'printf "\\036sparkctl\\036\\n"; exec "$@"\' sh'
        " printf %s 'a b' '$(rm -rf /)' 'it'\"'\"'s'"
    )


@pytest.mark.parametrize(
    ("value", "share"), [("0.5", 0.5), ("'0.5'", 0.5), ("null", 0.92), ("much", 0.92)]
)
def test_the_share_of_memory_as_number_or_text(value: str, share: float) -> None:
    assert SHARE.of(inventory(f"  arguments: {{gpu-memory-utilization: {value}}}\n")) == share
