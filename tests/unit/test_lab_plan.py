"""The lab's plan, before anything is made: names, subnets, its inventory."""

from __future__ import annotations

import ipaddress
import shlex
from pathlib import Path

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.vllm.commandline import vllm_argv
from sparkctl.engines.vllm.recipe import choose_recipe
from sparkctl.lab import inventory
from sparkctl.lab.existing import State, specs
from sparkctl.lab.hardware import CONNECTX_7, SOFT_ROCE
from sparkctl.lab.network import choose_subnet
from sparkctl.lab.runtime.make_model import config
from sparkctl.lab.spec import MAX_NODES, NodeSpec, prefix
from sparkctl.output.imitated import imitated_line
from tests.refused import refused
from tests.unit.answers import config_json


def nodes(count: int, base: str = "/var/lib/lab") -> list[NodeSpec]:
    return [NodeSpec(n, Path(base), "10.77.0") for n in range(1, count + 1)]


def networks(*texts: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(t) for t in texts]


def test_link_names_fit_and_differ_between_labs() -> None:
    assert len(nodes(MAX_NODES)[-1].netns) <= 15
    assert prefix(Path("/a")) != prefix(Path("/b"))
    assert prefix(Path("/a")) == prefix(Path("/a"))


def test_every_node_has_addresses_of_its_own() -> None:
    from sparkctl.lab.spec import CABLED

    many = nodes(MAX_NODES)
    addresses = [n.address for n in many] + [n.fabric_address(h) for n in many for h in CABLED]
    assert len(set(addresses)) == 3 * MAX_NODES
    assert "10.77.0.1" not in addresses  # the controller's


def test_a_subnet_that_a_route_overlaps_is_not_chosen() -> None:
    assert choose_subnet(networks("192.0.2.0/24")) == "10.77.0"
    assert choose_subnet(networks("10.64.0.0/12", "10.80.0.7/32")) == "10.81.0"
    assert choose_subnet(networks("192.0.2.0/24"), 178) == "10.255.0"
    assert choose_subnet(networks("10.255.0.0/16"), 178) == "10.77.0", "it wraps around"
    with refused("lab-no-subnet"):
        choose_subnet(networks("10.0.0.0/8"))


@pytest.mark.parametrize(("count", "parallel"), [(1, 1), (2, 2), (3, 2), (4, 4), (16, 4)])
def test_the_inventory_is_one_that_the_other_commands_take(count: int, parallel: int) -> None:
    base = Path('/var/lib/a "lab": #1')
    text = inventory.text(nodes(count, str(base)), base=base, runtime=Path("/opt/run time"))
    loaded = parse(text.encode(), "inventory.yaml")
    assert [n.host for n in loaded.nodes] == [n.address for n in nodes(count)]
    assert loaded.head.name == "spark-1"
    assert loaded.ssh.identity_file == str(base / "client_key")
    assert loaded.runtime.venv == "/opt/run time"
    assert loaded.vllm.tensor_parallel_size == parallel
    assert imitated_line(loaded.imitated) == (
        "imitated: nodes, ConnectX-7, /dev/kmsg, nvidia-smi, GPU, model, SGLang"
    )
    assert any("ConnectX-7" in what for what in loaded.imitated)


def test_the_hardware_is_remembered_and_what_is_imitated_of_it_is_named() -> None:
    state: State = {"nodes": 2, "subnet": "10.77.0", "hardware": "soft-roce"}
    soft = specs(Path("/lab"), state)
    assert {n.hardware for n in soft} == {SOFT_ROCE}
    text = inventory.text(soft, base=Path("/lab"), runtime=Path("/runtime"))
    imitated = parse(text.encode(), "inventory.yaml").imitated
    assert any("soft-RoCE" in what for what in imitated)
    assert not any("ConnectX-7" in what for what in imitated)
    # A lab of the release before has none.
    assert {n.hardware for n in specs(Path("/lab"), {"nodes": 2, "subnet": "10.77.0"})} == {
        CONNECTX_7
    }
    with refused("lab-hardware-unknown"):
        specs(Path("/lab"), {"nodes": 2, "subnet": "10.77.0", "hardware": "abacus"})


def test_the_labs_model_is_served_with_the_recipe_of_its_architecture() -> None:
    text = inventory.text(nodes(2), base=Path("/lab"), runtime=Path("/runtime"))
    loaded = parse(text.encode(), "inventory.yaml")
    architectures = config()["architectures"]
    assert isinstance(architectures, list)
    found = config_json(*architectures)
    # The CPU build accepts --kv-cache-dtype without effect, and has no --attention-backend.
    assert shlex.join(vllm_argv(loaded, choose_recipe(loaded.vllm, found), "/root")) == (
        "/runtime/bin/vllm serve /lab/model --host 0.0.0.0 --port 30000"
        " --served-model-name MiniMax-M2-mini --tensor-parallel-size 2"
        " --distributed-executor-backend ray --gpu-memory-utilization 0.2"
        " --max-model-len 2048 --kv-cache-dtype fp8_e4m3"
        " --enable-prefix-caching --enable-chunked-prefill --max-num-seqs 64"
        " --max-num-batched-tokens 8192 --trust-remote-code --enable-auto-tool-choice"
        " --tool-call-parser minimax_m2 --reasoning-parser minimax_m2_append_think"
        ' --compilation-config \'{"cudagraph_mode":"none","inductor_compile_config":'
        '{"combo_kernels":false,"benchmark_combo_kernel":false,"max_autotune":false,'
        '"max_autotune_gemm":false}}\''
    )
