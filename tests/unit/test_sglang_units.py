"""SGLang's row: what it runs on each node, with which arguments and environment."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.engines.sglang.recipe import BASE, MINIMAX_M2, SHARE
from sparkctl.node.difference import START, STOP, difference
from sparkctl.node.units import READY, Process, Running
from tests.unit.clusterpair import desired, nodes
from tests.unit.test_inventory import details, problems

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory
    from sparkctl.plan.desired import Desired

SERVICE = """\
cluster: sparks
nodes:
  - {name: spark-1, host: a}
  - {name: spark-2, host: b}
services:
  m2: {engine: sglang, model: ~/m, ARGUMENTS}
"""
ZERO, ONE = "m2/0/sglang/spark-1", "m2/0/sglang/spark-2"


def text(**arguments: object) -> str:
    return SERVICE.replace("ARGUMENTS", f"arguments: {json.dumps(arguments)}")


def inventory(**arguments: object) -> Inventory:
    return parse(text(**{k.replace("_", "-"): v for k, v in arguments.items()}).encode(), "x")


def pair(**arguments: object) -> Desired:
    loaded = inventory(**arguments)
    return desired(loaded, nodes(loaded))


def test_minimax_on_a_pair() -> None:
    made = pair()
    line = (
        "'~/vllm/bin/sglang' serve --model-path /home/u/m --host 0.0.0.0 --port 30000 --tp 2"
        " --nnodes 2 --node-rank 0 --dist-init-addr 192.168.100.11:25000"
        " --mem-fraction-static 0.85 --enable-metrics --kv-cache-dtype fp8_e4m3"
        " --max-running-requests 16 --chunked-prefill-size 8192 --trust-remote-code"
        " --tool-call-parser minimax-m2 --reasoning-parser minimax-append-think"
        " --disable-decode-cuda-graph --disable-prefill-cuda-graph"
    )
    zero, one = made.units.values()
    assert (zero.id, one.id) == (ZERO, ONE)
    assert shlex.join(zero.program.argv) == line
    assert shlex.join(one.program.argv) == line.replace("--node-rank 0", "--node-rank 1")
    assert {zero.group, one.group} == {"m2/0"}
    assert (zero.stop.leader, one.ready) == (True, ())


def test_arguments_change_add_and_drop() -> None:
    made = pair(kv_cache_dtype="auto", trust_remote_code=None, ep=2, mem_fraction_static=0.8)
    line = shlex.join(made.units[ZERO].program.argv)
    for flags in ("--kv-cache-dtype auto", "--ep 2", "--mem-fraction-static 0.8"):
        assert flags in line
    assert "--trust-remote-code" not in line
    assert SHARE.of(made.inventory) == 0.8


def test_one_rank_is_one_unit_that_meets_nobody() -> None:
    loaded = parse(
        text()
        .replace("ARGUMENTS", "")
        .replace("~/m,", "~/m, tensor_parallel_size: 1, nodes: [spark-1],")
        .encode(),
        "x",
    )
    (unit,) = desired(loaded, nodes(loaded)).units.values()
    assert not {"--nnodes", "--dist-init-addr"} & {*unit.program.argv}


def test_each_node_has_its_own_environment_without_rays_and_vllms() -> None:
    made = pair()
    for number, name in enumerate(("spark-1", "spark-2"), 11):
        values = made.values(name)
        assert values["SGLANG_HOST_IP"] == f"192.168.100.{number}"
        assert values["GLOO_SOCKET_IFNAME"] == values["TP_SOCKET_IFNAME"] == "enp1s0f0np0"
        assert values["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
        assert values["SPT_NOENV"] == "1"
        assert not [n for n in values if n.startswith(("VLLM_", "RAY_", "OMP_"))]


def running(made: Desired, unit: str) -> Running:
    node = made.units[unit].node
    commands = ("python sglang serve --tp 2", "sglang::scheduler_TP0")
    found = [Process(node, i, c, rank=":" in c) for i, c in enumerate(commands, 7)]
    return Running(node, "r1", made.units[unit].digest, READY, 5.0, tuple(found))


def test_a_dead_rank_replaces_both_rank_0_is_stopped_first() -> None:
    made = pair()
    seen = {unit: running(made, unit) for unit in made.units}
    assert not difference(made.units, seen)
    launcher = seen[ONE].processes[:1]
    seen[ONE] = Running("spark-2", "r1", seen[ONE].digest, READY, 5.0, launcher)
    broken = difference(made.units, seen)
    # Its title alone shows a rank: where none is recognized, nothing is concluded.
    assert not broken
    seen[ONE] = Running("spark-2", "r1", seen[ONE].digest, READY, 5.0, seen[ZERO].processes[:0])
    steps = [(s.action, s.units) for p in difference(made.units, seen).parts for s in p.steps]
    assert steps == [(STOP, (ZERO,)), (STOP, (ONE,)), (START, (ONE,)), (START, (ZERO,))]


def test_the_recipe_is_by_architecture_and_name() -> None:
    loaded = inventory()
    known = nodes(loaded)
    known["spark-1"]["model_config"]["architectures"] = ["Qwen3ForCausalLM"]
    assert desired(loaded, known).recipe.defaults == BASE
    named = parse(text().replace("~/m,", "~/m, recipe: minimax-m2,").encode(), "x")
    assert desired(named, known).recipe.defaults == {**BASE, **MINIMAX_M2.arguments}


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("tp", "own-key", "set services.m2.tensor_parallel_size instead"),
        ("model-path", "own-key", "set services.m2.model instead"),
        ("node-rank", "own-flag", "sparkctl sets this flag on each node"),
        ("api-key", "readable-secret", "every user of the node can read api-key"),
        ("admin-api", "readable-secret", "every user of the node can read admin-api-key"),
    ],
)
def test_an_argument_that_cannot_be_passed_is_refused(name: str, code: str, says: str) -> None:
    (found,) = details(text(**{name: "x"}))
    assert found.code == code
    assert says in str(found)


@pytest.mark.parametrize(
    ("arguments", "codes"),
    [
        ({}, []),
        ({"disable-decode-cuda-graph": None}, ["cuda-graphs-deadlock"]),
        ({"disable-decode-cuda-graph": None, "disable-cuda-graph": True}, []),
    ],
)
def test_cuda_graphs_with_minimax_are_doubtful(
    arguments: dict[str, object], codes: list[str]
) -> None:
    made = pair(**arguments)
    found = made.engine.doubts(made.inventory, {"NCCL_IB_DISABLE": "1"}, made.recipe)
    assert [one.code for one in found] == ["rdma-disabled", *codes]


def test_the_executor_is_the_engines_own() -> None:
    assert inventory().views[0].vllm.executor == "mp"
    ray = SERVICE.replace("ARGUMENTS", "executor: ray")
    assert "expected an executor of sglang (mp), got" in problems(ray)[0]
