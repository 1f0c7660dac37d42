"""The checks of a running cluster: Ray's table, environments, NCCL's log, counters, tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.log_causes import deciding
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

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from sparkctl.doctor.snapshot import View

ONE, TWO = "spark-1", "spark-2"
NCCL = "/opt/vllm/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"
IB = pair(USING, *ON_IB, *VIA_IB, CONNECTED)


def process(view: View, name: str, role: str, command: str) -> dict[str, Any]:
    """One of our processes as the probe tells of it, with the planned environment."""
    return {
        "pid": 40, "role": role, "command": command, "run": "r1", "cluster": "lab", "since": 0.0,
        "environment": dict(view.environment(name)), "libraries": {NCCL: "2.28.9"}, "memlock": -1,
        "capabilities": 0, "uverbs": ["uverbs0", "uverbs1", "uverbs2", "uverbs3"],
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
        "log": {ONE: {"verdict": read(files), "path": "vllm.log", "cut": 0, "tail": []}},
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


def test_a_node_whose_rank_the_log_does_not_name_is_unknown() -> None:
    files = {name: text for name, text in IB.items() if name == "rank0.log"}
    finding = only(running(files), "running.transport")
    assert (finding.severity.value, finding.node) == ("UNKNOWN", TWO)
    assert "no line of a rank on this node" in finding.summary


def test_a_node_with_a_domain_in_its_name_is_the_one_in_the_log() -> None:
    view = running()
    view.facts(TWO)["hostname"] = "spark-2.lab.example"
    assert wrong(view) == set()


def test_ranks_that_talk_within_their_nodes_are_told_on_a_pair() -> None:
    local = pair("Channel 00/0 : 0[0] -> 1[0] via SHM/direct/direct")
    local = {n: text.replace("nNodes 2", "nNodes 1") for n, text in local.items()}
    view = running(local)
    assert {r.transport for r in view.sources["log"][ONE]["verdict"].ranks} == {"local"}
    told = {(f.severity.value, f.node) for f in examined(view, "running.transport")}
    assert told == {("WARN", ONE), ("WARN", TWO)}


def test_a_log_that_was_cut_is_unknown() -> None:
    view = running()
    view.sources["log"][ONE]["cut"] = 31234
    finding = only(view, "running.transport")
    assert finding.severity.value == "UNKNOWN"
    assert "to line 31234" in finding.summary


def test_counters_that_are_not_there_are_unknown() -> None:
    view = running()
    found = view.sources["generation"][ONE]
    found["after"][TWO] = {}
    told = [f.severity.value for f in examined(view, "running.traffic") if f.node == TWO]
    assert told == ["UNKNOWN", "UNKNOWN"]


def test_counters_that_stand_still_are_told() -> None:
    view = running()
    found = view.sources["generation"][ONE]
    found["after"][TWO]["roceP2p1s0f0"] = found["before"][TWO]["roceP2p1s0f0"]
    finding = only(view, "running.traffic")
    assert (finding.severity.value, finding.node) == ("FAIL", TWO)
    assert "roceP2p1s0f0 carried nothing" in finding.summary


def load(view: View, name: str, libraries: dict[str, str | None] | None) -> None:
    """Have every process of a node map these libnccl files."""
    for entry in view.facts(name)["ours"]:
        entry["libraries"] = libraries


def test_another_version_of_libnccl_is_told_though_its_file_is_called_alike() -> None:
    view = running()
    load(view, TWO, {"/usr/local/old/lib/libnccl.so.2": "2.18.5"})
    finding = only(view, "running.libnccl")
    assert finding.severity.value == "FAIL"
    assert "spark-2: 2.18.5 (/usr/local/old/lib/libnccl.so.2)" in finding.summary
    assert finding.fix is not None


def test_the_same_version_in_another_place_is_well() -> None:
    view = running()
    load(view, TWO, {"/usr/lib/libnccl.so.2.28.9": "2.28.9"})
    assert wrong(view) == set()


def test_two_versions_in_one_node_are_told() -> None:
    view = running()
    view.facts(TWO)["ours"][1]["libraries"] = {"/usr/lib/libnccl.so.2": "2.27.3"}
    told = {(f.severity.value, f.node) for f in examined(view, "running.libnccl")}
    assert ("FAIL", TWO) in told


@pytest.mark.parametrize(
    ("libraries", "said"),
    [
        ({NCCL: None}, "does not tell its version"),
        (None, "cannot be read"),
        ({}, "has loaded libnccl"),
    ],
)
def test_a_libnccl_that_cannot_be_told_is_unknown(
    libraries: dict[str, str | None] | None, said: str
) -> None:
    view = running()
    load(view, TWO, libraries)
    finding = only(view, "running.libnccl")
    assert (finding.severity.value, finding.node) == ("UNKNOWN", TWO)
    assert said in finding.summary
    load(view, ONE, libraries)
    # {} everywhere is a build without NCCL; what cannot be read anywhere is no proof of one.
    assert bool(wrong(view)) == (libraries != {})


def test_a_build_without_nccl_is_told_and_no_fault() -> None:
    view = running()
    for name in view.names:
        load(view, name, {})
    assert wrong(view) == set()


def test_an_environment_that_was_overwritten_is_told_with_its_processes() -> None:
    view = running()
    view.facts(TWO)["ours"][1]["environment"]["NCCL_IB_HCA"] = "mlx5_0"
    finding = only(view, "running.environment")
    assert (finding.severity.value, finding.node) == ("FAIL", TWO)
    assert "NCCL_IB_HCA is mlx5_0 in 1 processes (pid 40)" in finding.summary


@pytest.mark.parametrize(
    ("variable", "value", "severity"),
    [
        ("NCCL_NET", "Socket", "FAIL"),
        ("NCCL_IB_GID_INDEX", "1", "FAIL"),
        ("LD_PRELOAD", "/usr/lib/libnccl.so.2", "FAIL"),
        ("NCCL_ALGO", "Tree", "WARN"),
        ("RAY_DEDUP_LOGS", "1", "WARN"),
        ("OMP_NUM_THREADS", "1", "WARN"),
        ("LD_PRELOAD", "/ray/core/libjemalloc.so", None),
        ("RAY_ADDRESS", "192.168.100.11:6379", None),
    ],
)
def test_what_was_set_on_the_way_is_told(variable: str, value: str, severity: str | None) -> None:
    view = running()
    view.facts(TWO)["ours"][1]["environment"][variable] = value
    if severity is None:
        assert wrong(view) == set()
        return
    finding = only(view, "running.environment")
    assert (finding.severity.value, finding.node) == (severity, TWO)
    assert f"{variable} is {value} in 1 processes" in finding.summary
    assert finding.evidence[0].found == value


def test_environments_that_cannot_be_read_are_unknown_and_counted_beside_others() -> None:
    view = running()
    first, second = view.facts(TWO)["ours"]
    second["environment"] = None
    assert wrong(view) == set()
    told = [f.summary for f in examined(view, "running.environment") if f.node == TWO]
    assert told == ["1 processes have the planned environment, 1 do not show theirs"]
    first["environment"] = None
    assert wrong(view) == {("running.environment", TWO, "UNKNOWN")}


def test_a_planned_variable_that_is_not_set_is_told() -> None:
    view = running()
    del view.facts(TWO)["ours"][0]["environment"]["GLOO_SOCKET_IFNAME"]
    assert "is unset" in only(view, "running.environment").summary


def test_a_secret_is_not_compared_and_stands_in_no_finding() -> None:
    view = healthy(INVENTORY + "env: {set: {VLLM_API_KEY: hidden}}\n")
    view.facts(TWO)["ours"] = [process(view, TWO, "ray", "/ray/raylet")]
    view.facts(TWO)["state"]["files"]["applied.json"] = json.dumps({"ray_run": "r1"})
    assert view.environment(TWO)["VLLM_API_KEY"] == "hidden"
    del view.facts(TWO)["ours"][0]["environment"]["VLLM_API_KEY"]  # the probe does not ask for it
    told = [f for f in examined(view, "running.environment") if f.node == TWO]
    assert [f.severity.value for f in told] == ["OK"]


def test_what_an_older_run_left_is_told_once() -> None:
    view = running()
    old = {**process(view, TWO, "vllm", "VLLM::Worker"), "run": "r0", "environment": {"A": "1"}}
    view.facts(TWO)["ours"].append(old)
    assert wrong(view) == {("host.leftovers", TWO, "WARN")}


def test_what_an_older_run_left_on_the_head_is_no_vllm_that_should_answer() -> None:
    view = healthy()
    old = {**process(view, ONE, "vllm", "VLLM::Worker_TP1"), "run": "r0"}
    view.facts(ONE)["ours"] = [old]
    state = view.facts(ONE)["state"]
    state["exists"] = True
    state["files"]["applied.json"] = json.dumps({"ray_run": "r1"})
    view.sources["generation"] = {ONE: {"error": "refused", "before": {}, "after": {}}}
    view.sources["api"] = {ONE: {"url": "http://x:30000/health", "error": "refused"}}
    assert {(c, n, s) for c, n, s in wrong(view) if s != "UNKNOWN"} == {
        ("host.leftovers", ONE, "WARN")
    }
    assert [f.summary for f in examined(view, "running.api")] == ["no vLLM of ours runs"]


def test_an_api_that_does_not_answer_is_told_though_the_journal_cannot_be_read() -> None:
    view = running()
    view.sources["generation"][ONE] = {"error": "refused", "before": {}, "after": {}}
    del view.facts(ONE)["state"]
    assert [f.severity.value for f in examined(view, "running.api")] == ["FAIL"]


def test_a_rank_that_died_is_told_and_one_that_starts_is_not() -> None:
    view = running()
    rank = view.facts(TWO)["ours"].pop(1)
    finding = only(view, "running.ranks")
    assert (finding.severity.value, finding.node) == ("FAIL", TWO)
    assert "0 ranks run, wanted 1" in finding.summary
    view.facts(ONE)["ours"][1]["since"] = view.facts(ONE)["time"] - 5
    assert {f.severity.value for f in examined(view, "running.ranks")} == {"INFO"}
    view.facts(TWO)["ours"].append(rank)
    assert wrong(view) == set()


def test_a_vllm_that_is_gone_is_told_unless_somebody_is_at_work() -> None:
    view = running()
    for name in view.names:
        ours = view.facts(name)["ours"]
        view.facts(name)["ours"] = [p for p in ours if "raylet" in p["command"]]
    assert wrong(view) == {("running.ranks", ONE, "FAIL")}
    view.sources["log"][ONE]["tail"] = [
        "INFO x",
        "RuntimeError: ibv_reg_mr: Cannot allocate memory",
    ]
    gone = only(view, "running.ranks")
    assert "is gone: RuntimeError: ibv_reg_mr" in gone.summary
    assert gone.fix is not None
    assert "memlock" in gone.fix.text
    view.sources["log"][ONE]["tail"] = [f"KeyError: HF_TOKEN=hf_{'x' * 20} {'y' * 999}"]
    told = only(view, "running.ranks").summary
    assert "hf_" not in told
    assert len(told) < 400
    del view.sources["log"]
    assert "one of its ranks died" in only(view, "running.ranks").summary
    view.facts(ONE)["state"]["lease"] = {"who": "a", "when": "b", "why": "up"}
    assert wrong(view) == set()
    view.facts(ONE)["state"].update(lease=None, files={"applied.json": '{"ray_run": "r1"}'})
    assert wrong(view) == set()


def test_a_rank_in_a_container_without_its_devices_or_locked_memory_is_told() -> None:
    view = running()
    view.facts(TWO)["ours"][1]["uverbs"] = []
    told = [f for f in examined(view, "running.verbs") if f.severity.value == "FAIL"]
    assert [f.node for f in told] == [TWO, TWO]
    assert "does not see /dev/infiniband/uverbs" in told[0].summary
    view = running()
    view.facts(TWO)["ours"][1]["memlock"] = 65536
    assert "memlock is 64 KiB in pid 40" in only(view, "running.verbs").summary
    view.facts(TWO)["ours"][1]["capabilities"] = 1 << 14
    assert wrong(view) == set()
    view.facts(TWO)["ours"][1]["memlock"] = None
    assert wrong(view) == {("running.verbs", TWO, "UNKNOWN")}


def test_a_placement_group_that_waits_is_told() -> None:
    view = running()
    group = {"state": "PENDING", "bundles": {"0": "", "1": ""}}
    view.sources["ray"][ONE]["groups"] = [{"state": "CREATED", "bundles": {"0": "a"}}]
    assert wrong(view) == set()
    view.sources["ray"][ONE]["groups"].append(group)
    finding = only(view, "running.ray")
    assert (finding.severity.value, finding.node) == ("WARN", ONE)
    assert "2 bundles is PENDING" in finding.summary


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


WEDGED = {"state": "wedged", "running": 3, "waiting": 1, "tokens_per_second": 0.0,
          "still_for": 5.2}  # fmt: skip
BUSY = {"state": "busy", "running": 64, "waiting": 136, "tokens_per_second": 420.3,
        "still_for": 0.0}  # fmt: skip
UNCLEAR = {"state": "unclear", "running": None, "waiting": None, "tokens_per_second": None,
           "still_for": None}  # fmt: skip


def engine(health: dict[str, Any], **answer: Any) -> View:
    """A running cluster whose completion did not come back."""
    view = running()
    found = view.sources["generation"][ONE]
    del found["tokens"], found["seconds"]
    found.update(health=health, **answer)
    return view


def test_a_busy_engine_is_told_with_its_figures_and_is_no_fault() -> None:
    view = engine(BUSY)
    assert wrong(view) == set()
    (found,) = examined(view, "running.generation")
    assert (found.severity.value, found.summary) == (
        "INFO",
        "busy: 64 running, 136 waiting, 420.3 tokens/s; a completion waits its turn",
    )
    # The tokens of others prove the network as well.
    assert {f.severity.value for f in examined(view) if f.check == "running.traffic"} == {"OK"}


def test_a_wedged_engine_fails_with_its_evidence() -> None:
    view = engine(WEDGED, error="wedged")
    assert ("running.generation", ONE, "FAIL") in wrong(view)
    found = only(view, "running.generation")
    assert "3 running, 1 waiting, no engine step ended for 5.2 s" in found.evidence[0].found


def test_without_metrics_busy_and_wedged_cannot_be_told_apart() -> None:
    found = only(engine(UNCLEAR, error="no completion within 20 s"), "running.generation")
    assert found.severity.value == "UNKNOWN"
    assert "no completion within 20 s" in found.summary


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
