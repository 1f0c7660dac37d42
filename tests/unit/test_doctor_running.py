"""The checks of a running cluster: Ray's table, environments, NCCL's log, counters, tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sparkctl.doctor.decide import deciding
from sparkctl.doctor.finding import Finding
from sparkctl.doctor.view import View
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong
from tests.unit.nccllogs import (
    CONNECTED,
    NO_DEVICE,
    ON_IB,
    ON_SOCKET,
    USING,
    VIA_IB,
    VIA_SOCKET,
    pair,
    read,
    real,
)

ONE, TWO = "spark-1", "spark-2"
NCCL = "/opt/vllm/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"
IB = pair(USING, *ON_IB, *VIA_IB, CONNECTED)


def process(view: View, name: str, role: str, command: str) -> dict[str, Any]:
    """One of our processes as the probe tells of it, with the planned environment."""
    return {
        "pid": 40, "role": role, "command": command, "run": "r1", "cluster": "lab", "since": 0.0,
        "environment": view.environment(name), "libraries": [NCCL],
    }  # fmt: skip


def running(files: dict[str, str] = IB) -> View:
    """The pair, serving over RDMA, with this log."""
    view = healthy()
    for name in view.names:
        view.facts(name)["ours"] = [
            process(view, name, "ray", "/ray/raylet"),
            process(view, name, "ray", "ray::RayWorkerProc"),
        ]
        state = view.facts(name)["state"]
        state["exists"] = True
        state["files"]["applied.json"] = json.dumps({"ray_run": "r1", "vllm_run": "r1"})
    view.facts(ONE)["ours"].append(process(view, ONE, "vllm", "vllm serve"))
    before = {n: view.facts(n)["counters"] for n in view.names}
    after = {n: {d: {k: v + 5000 * k.startswith("port_") for k, v in c.items()}
                 for d, c in before[n].items()} for n in before}  # fmt: skip
    nodes = [{"address": f"192.168.100.1{i}", "alive": True, "gpus": 1.0} for i in (1, 2)]
    view.sources = {
        **view.sources,
        "ray": {ONE: {"nodes": nodes}},
        "log": {ONE: {"verdict": read(files), "path": "vllm.log"}},
        "generation": {ONE: {"models": ["m"], "tokens": 4, "seconds": 0.1, "before": before,
                             "after": after}},
        "api": {ONE: {"url": "http://x:30000/health", "error": None}},
    }  # fmt: skip
    return view


def only(view: View, check: str) -> Finding:
    """The one finding of a check that is not well."""
    (finding,) = [f for f in examined(view, check) if f.severity.value not in ("OK", "INFO")]
    return finding


def test_a_pair_that_serves_over_rdma_is_well() -> None:
    view = running()
    assert wrong(view) == set()
    told = [f.summary for f in examined(view, "running.transport")]
    assert told == [
        "rank 0: channels rocep1s0f0 2, roceP2p1s0f0 2",
        "rank 1: channels rocep1s0f0 2, roceP2p1s0f0 2",
    ]


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (pair(NO_DEVICE, *ON_SOCKET, *VIA_SOCKET), "no-device"),
        (real("ib-hca-missing"), "hca-filter-no-match"),
        (real("ib-disabled"), "ib-disabled"),
    ],
)
def test_nccl_over_tcp_is_a_failure_with_its_cause(log: dict[str, str], cause: str) -> None:
    finding = only(running(log), "running.transport")
    assert (finding.severity.value, finding.node) == ("FAIL", ONE)
    assert finding.summary.startswith(f"{cause}: ")
    assert ":" in finding.evidence[0].where
    assert deciding(read(log))


def test_an_hca_without_channels_is_told() -> None:
    half = pair(USING, *ON_IB, VIA_IB[0], VIA_IB[2], CONNECTED)
    found = {(f.severity.value, f.node) for f in examined(running(half), "running.transport")}
    assert ("FAIL", ONE) in found
    assert ("FAIL", TWO) in found


def test_a_log_without_nccl_is_unknown_and_says_how_to_have_it() -> None:
    finding = only(running({"vllm.log": "nothing\n"}), "running.transport")
    assert finding.severity.value == "UNKNOWN"
    assert finding.fix is not None
    assert "NCCL_DEBUG=INFO" in finding.fix.text


def test_counters_that_stand_still_are_told() -> None:
    view = running()
    found = view.sources["generation"][ONE]
    found["after"][TWO]["roceP2p1s0f0"] = found["before"][TWO]["roceP2p1s0f0"]
    finding = only(view, "running.traffic")
    assert (finding.severity.value, finding.node) == ("FAIL", TWO)
    assert "roceP2p1s0f0 carried nothing" in finding.summary


@pytest.mark.parametrize("files", [["/a/libnccl.so.2", "/b/libnccl.so.2"], ["/a/libnccl.so.2.27"]])
def test_another_libnccl_is_told(files: list[str]) -> None:
    view = running()
    for entry in view.facts(TWO)["ours"]:
        entry["libraries"] = files
    assert "running.libnccl" in {check for check, _, _ in wrong(view)}


def test_a_build_without_nccl_is_told_and_no_fault() -> None:
    view = running()
    for name in view.names:
        for entry in view.facts(name)["ours"]:
            entry["libraries"] = []
    assert wrong(view) == set()


def test_an_environment_that_was_overwritten_is_told_with_its_processes() -> None:
    view = running()
    view.facts(TWO)["ours"][1]["environment"]["NCCL_IB_HCA"] = "mlx5_0"
    finding = only(view, "running.environment")
    assert finding.node == TWO
    assert "NCCL_IB_HCA is mlx5_0 in 1 processes (pid 40)" in finding.summary
    # Of a process whose title was written over its environment nothing is known.
    view.facts(TWO)["ours"][1]["environment"] = {}
    assert wrong(view) == set()


def test_a_planned_variable_that_is_not_set_is_told() -> None:
    view = running()
    del view.facts(TWO)["ours"][0]["environment"]["GLOO_SOCKET_IFNAME"]
    assert "is unset" in only(view, "running.environment").summary


def ray_table(view: View, *nodes: tuple[str, bool, float]) -> None:
    """Have Ray list these: address, alive, GPUs."""
    view.sources["ray"][ONE]["nodes"] = [
        {"address": a, "alive": alive, "gpus": gpus} for a, alive, gpus in nodes
    ]


HEAD = ("192.168.100.11", True, 1.0)


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ((), "does not list 192.168.100.12 alive"),
        ((("192.168.100.12", False, 0.0),), "does not list 192.168.100.12 alive"),
        ((("10.77.0.12", True, 1.0),), "joined Ray by 10.77.0.12 (enP7s7)"),
        ((("192.168.100.12", True, 1.0), ("10.77.0.12", True, 1.0)), "joined Ray by 10.77.0.12"),
        ((("192.168.100.12", True, 0.0),), "counts 0 GPUs, wanted 1"),
    ],
)
def test_a_node_that_ray_has_otherwise(
    worker: tuple[tuple[str, bool, float], ...], said: str
) -> None:
    view = running()
    own = [a.partition("/")[0] for a in view.facts(TWO)["net"]["enP7s7"]["ipv4"]]
    nodes = [(own[0] if a.startswith("10.") else a, alive, gpus) for a, alive, gpus in worker]
    ray_table(view, HEAD, *nodes)
    finding = only(view, "running.ray")
    assert (finding.severity.value, finding.node) == ("FAIL", TWO)
    assert said.replace("10.77.0.12", own[0]) in finding.summary


def test_a_ray_that_does_not_answer() -> None:
    view = running()
    view.sources["ray"][ONE] = {"error": "no GCS"}
    assert "no GCS" in only(view, "running.ray").summary


def test_the_api_down_wedged_and_behind_a_firewall_are_told_apart() -> None:
    view = running()
    view.sources["generation"][ONE] = {"error": "refused", "before": {}, "after": {}}
    assert ("running.api", ONE, "FAIL") in wrong(view)
    assert ("running.generation", ONE, "UNKNOWN") in wrong(view)
    view = running()
    view.sources["generation"][ONE].update(tokens=0, error="timed out")
    assert ("running.generation", ONE, "FAIL") in wrong(view)
    view = running()
    view.sources["api"][ONE]["error"] = "timed out"
    assert wrong(view) == {("running.api", ONE, "WARN")}


def test_what_was_not_gathered_is_unknown() -> None:
    view = running()
    view.sources = {}
    view.passive = True
    unknown = [f for f in examined(view) if f.severity.value == "UNKNOWN"]
    assert {f.check for f in unknown} >= {"running.ray", "running.generation", "fabric.ping"}
    assert {f.summary for f in unknown} == {"left out with --passive"}


def test_an_old_vllm_is_told() -> None:
    view = healthy(INVENTORY)
    view.facts(TWO)["runtime"]["versions"]["vllm"] = "0.19.0"
    assert ("runtime.present", TWO, "WARN") in wrong(view)
