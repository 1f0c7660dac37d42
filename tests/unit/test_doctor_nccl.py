"""NCCL in a running cluster: its log, the libraries that are loaded, the counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.log_causes import deciding
from tests.unit.doctorview import examined, wrong
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
from tests.unit.runningpair import IB, NCCL, ONE, TWO, found, only, running

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers


def test_a_pair_that_serves_over_rdma_is_well() -> None:
    answers = running()
    assert wrong(answers) == set()
    assert [f.summary for f in examined(answers, "running.transport")] == [  # with each half
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
    assert (finding.severity.value, finding.node, finding.code) == ("FAIL", ONE, cause)
    assert ":" in finding.evidence[0].where
    assert deciding(read(log))


def test_an_hca_without_channels_is_a_failure() -> None:
    half = pair(USING, *ON_IB, VIA_IB[0], VIA_IB[2], CONNECTED)
    failed = [f for f in examined(running(half), "running.transport") if f.code == "no-channel"]
    assert [(f.severity.value, f.node) for f in failed] == [("FAIL", ONE), ("FAIL", TWO)]
    assert failed[0].data["hcas"] == ["roceP2p1s0f0"]


def test_a_log_without_nccl_is_unknown_and_says_how_to_have_it() -> None:
    finding = only(running({"vllm.log": "nothing\n"}), "running.transport")
    assert (finding.severity.value, finding.code) == ("UNKNOWN", "no-nccl-lines")
    assert finding.fix is not None
    assert "NCCL_DEBUG=INFO" in finding.fix.text


def test_a_node_whose_rank_the_log_does_not_name_is_unknown() -> None:
    files = {name: text for name, text in IB.items() if name == "rank0.log"}
    assert found(running(files), "running.transport") == ("UNKNOWN", TWO, "rank-not-in-log")


def test_a_node_with_a_domain_in_its_name_is_the_one_in_the_log() -> None:
    answers = running()
    answers.facts[TWO]["hostname"] = "spark-2.lab.example"
    assert wrong(answers) == set()


def test_ranks_that_talk_within_their_nodes_are_a_warning_on_a_pair() -> None:
    local = pair("Channel 00/0 : 0[0] -> 1[0] via SHM/direct/direct")
    local = {n: text.replace("nNodes 2", "nNodes 1") for n, text in local.items()}
    answers = running(local)
    assert {r.transport for r in answers.looks["log"][ONE]["verdict"].ranks} == {"local"}
    assert {(f.severity.value, f.node, f.code) for f in examined(answers, "running.transport")} == {
        ("WARN", ONE, "local-transport"),
        ("WARN", TWO, "local-transport"),
    }


def test_a_log_that_was_cut_is_unknown() -> None:
    answers = running()
    answers.looks["log"][ONE]["cut"] = 31234
    finding = only(answers, "running.transport")
    assert (finding.severity.value, finding.code) == ("UNKNOWN", "log-cut")
    assert finding.data["line"] == 31234


def test_counters_that_are_not_there_are_unknown() -> None:
    answers = running()
    answers.looks["generation"][ONE]["after"][TWO] = {}
    severities = [f.severity.value for f in examined(answers, "running.traffic") if f.node == TWO]
    assert severities == ["UNKNOWN", "UNKNOWN"]


def test_counters_that_stand_still_are_a_failure() -> None:
    answers = running()
    generation = answers.looks["generation"][ONE]
    generation["after"][TWO]["roceP2p1s0f0"] = generation["before"][TWO]["roceP2p1s0f0"]
    assert found(answers, "running.traffic") == ("FAIL", TWO, "no-traffic")
    assert only(answers, "running.traffic").data["hca"] == "roceP2p1s0f0"


def load(answers: Answers, name: str, libraries: dict[str, str | None] | None) -> None:
    """Have every process of a node map these libnccl files."""
    for entry in answers.facts[name]["ours"]:
        entry["libraries"] = libraries


def test_another_version_of_libnccl_is_a_failure_though_its_file_has_the_same_name() -> None:
    answers = running()
    load(answers, TWO, {"/usr/local/old/lib/libnccl.so.2": "2.18.5"})
    finding = only(answers, "running.libnccl")
    assert (finding.severity.value, finding.code) == ("FAIL", "nodes-differ")
    assert finding.data["got"] == [
        f"spark-1: 2.28.9 ({NCCL})",
        "spark-2: 2.18.5 (/usr/local/old/lib/libnccl.so.2)",
    ]
    assert finding.fix is not None


A, B = {"id": "a7f420a1", "bytes": 219}, {"id": "c0db9360", "bytes": 190}
OTHER = "/usr/lib/aarch64-linux-gnu/libnccl.so.2"


def built(*builds: dict[str, Any], path: str = NCCL) -> Answers:
    """The pair with these builds of 2.28.9 on its nodes."""
    answers = running()
    for name, build in zip(answers.names, builds, strict=True):
        for entry in answers.facts[name]["ours"]:
            place = path if name == TWO else NCCL
            entry |= {"libraries": {place: "2.28.9"}, "builds": {place: build}}
    return answers


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (B, {"id": "d0d0", "bytes": 190}),
        ({"id": None, "bytes": 190}, {"id": None, "bytes": 219}),  # then by their sizes
        (B, {"id": None, "bytes": 190}),
    ],
)
def test_two_builds_of_one_version_are_a_warning(one: dict[str, Any], two: dict[str, Any]) -> None:
    finding = only(built(one, two, path=OTHER), "running.libnccl")
    assert (finding.severity.value, finding.code) == ("WARN", "builds-differ")
    assert finding.data["paths"] == [NCCL, OTHER]
    assert finding.data["nodes"] == [ONE, TWO]
    builds = finding.data["builds"]
    assert isinstance(builds, list)
    assert len({*builds}) == 2
    assert f"{OTHER}, {'Build ID d0d0' if two['id'] else two['bytes']}" in finding.summary


def test_one_build_in_two_places_is_well_and_so_is_one_that_is_not_known() -> None:
    assert wrong(built(B, B, path=OTHER)) == set()
    answers = built(B, B)
    for entry in answers.facts[TWO]["ours"]:
        del entry["builds"]  # an older answer
    assert wrong(answers) == set()


def test_nodes_of_two_architectures_have_different_builds() -> None:
    answers = built(B, {"id": "d0d0", "bytes": 190})
    answers.facts[TWO]["machine"] = "aarch64"
    assert wrong(answers) == set()


def test_two_builds_on_one_node_are_its_own_warning() -> None:
    answers = running()
    rank = answers.facts[TWO]["ours"][1]
    rank["libraries"] = {NCCL: "2.28.9", OTHER: "2.28.9"}
    rank["builds"] = {NCCL: B, OTHER: {"id": "d0d0", "bytes": 1}}
    for entry in answers.facts[ONE]["ours"]:
        entry["libraries"], entry["builds"] = {NCCL: "2.28.8"}, {NCCL: B}
    codes = {(f.node, f.code) for f in examined(answers, "running.libnccl")}
    assert (TWO, "builds-differ") in codes


def test_the_build_that_hung_between_sparks_is_a_warning_though_all_have_it() -> None:
    finding = only(built(A, A), "running.libnccl")
    assert (finding.severity.value, finding.code) == ("WARN", "hanging-build")
    assert finding.data == {"nodes": [ONE, TWO], "path": NCCL, "build": "Build ID a7f420a1"}


def test_an_installation_comes_before_the_restart() -> None:
    answers = built(A, A)
    answers.facts[ONE]["runtime"]["versions"]["nvidia_nccl_cu13"] = "2.28.9"
    pip = "/opt/vllm/bin/pip install nvidia-nccl-cu13==2.30.4"
    for lacking, commands in ((False, (pip,)), (True, ())):
        if lacking:
            del answers.facts[ONE]["runtime"]
        (finding,) = [f for f in examined(answers) if f.code == "hanging-build"]
        assert finding.fix
        assert finding.fix.to_paste == (*commands, "sparkctl down", "sparkctl up")


def test_a_version_that_hangs_is_found_though_the_runtime_is_unread() -> None:
    answers = with_graphs({})
    version(answers, "2.28.9", loaded=True)
    del answers.facts[ONE]["runtime"]
    assert [f.code for f in examined(answers, "runtime.nccl")] == ["graphs-hang"]


@pytest.mark.parametrize(
    ("one", "two", "code"),
    [
        (B, B, "ok"),
        (B, {"id": "d0d0", "bytes": 190}, "builds-differ"),
        (A, A, "hanging-build"),
        (B, None, "ok"),
    ],
)
def test_the_runtimes_builds_are_compared_before_a_rank_has_loaded_one(
    one: dict[str, Any], two: dict[str, Any] | None, code: str
) -> None:
    answers = running()
    for name, build in ((ONE, one), (TWO, two)):
        load(answers, name, {})
        library = {"version": "2.28.9", "build": build}
        answers.facts[name]["runtime"]["nccl"] = {NCCL: library}
    severities = {f.code: f.severity.value for f in examined(answers, "runtime.nccl")}
    assert severities == {"ok": "OK"} | ({code: "WARN"} if code != "ok" else {})
    for name, build in ((ONE, B), (TWO, B)):  # then running.libnccl reports what is loaded
        for entry in answers.facts[name]["ours"]:
            entry["libraries"], entry["builds"] = {NCCL: "2.28.9"}, {NCCL: build}
    assert wrong(answers) == set()


def with_graphs(arguments: dict[str, Any], *, size: int = 2) -> Answers:
    """The pair with these arguments of vLLM over a recipe with none."""
    answers = running()
    vllm = answers.inventory.vllm
    changed = {"arguments": arguments, "recipe": "none", "tensor_parallel_size": size}
    answers.inventory = answers.inventory.model_copy(
        update={"vllm": vllm.model_copy(update=changed)}
    )
    return answers


def version(answers: Answers, text: str | None, *, loaded: bool) -> None:
    """Have the runtimes, or the ranks, have this NCCL."""
    for name in answers.names:
        versions = answers.facts[name]["runtime"]["versions"]
        versions |= {"nvidia_nccl_cu13": "2.28.8" if loaded else text} if text else {}
        for entry in answers.facts[name]["ours"]:
            entry["libraries"] = {NCCL: text} if loaded else {}


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        ({}, True),
        ({"compilation-config": {"mode": 3}}, True),
        ({"compilation-config": '{"cudagraph_mode": "FULL"}'}, True),
        ({"compilation-config": {"cudagraph_mode": "none"}}, False),
        ({"compilation-config": '{"cudagraph_mode": "NONE"}'}, False),
        ({"enforce-eager": True}, False),
        ({"optimization-level": 0}, False),
    ],
)
def test_graphs_between_nodes_hang_with_one_version_of_nccl(
    arguments: dict[str, Any], warned: bool, loaded: bool
) -> None:
    answers = with_graphs(arguments)
    version(answers, "2.28.9", loaded=loaded)
    codes = [(f.severity.value, f.code) for f in examined(answers, "runtime.nccl")]
    assert codes == [("WARN", "graphs-hang") if warned else ("OK", "ok")]


@pytest.mark.parametrize("text", ["2.28.8", "2.29.7", "2.30.4", None])
def test_of_other_versions_no_hang_is_known(text: str | None) -> None:
    answers = with_graphs({})
    version(answers, text, loaded=False)
    (finding,) = examined(answers, "runtime.nccl")
    assert finding.code == ("ok" if text else "no-nccl")


def test_graphs_within_one_node_are_well_and_so_is_the_recipe_without_them() -> None:
    answers = with_graphs({}, size=1)
    version(answers, "2.28.9", loaded=True)
    assert [f.code for f in examined(answers, "runtime.nccl")] == ["ok"]
    answers = running()  # MiniMax M2 by its architecture
    version(answers, "2.28.9", loaded=True)
    assert [f.code for f in examined(answers, "runtime.nccl")] == ["ok"]


@pytest.mark.parametrize(
    ("arguments", "severity"), [({"enforce-eager": True}, "OK"), ({}, "UNKNOWN")]
)
def test_without_the_models_config_only_the_inventory_can_turn_graphs_off(
    arguments: dict[str, Any], severity: str
) -> None:
    answers = with_graphs(arguments)
    vllm = answers.inventory.vllm.model_copy(update={"recipe": "auto"})
    answers.inventory = answers.inventory.model_copy(update={"vllm": vllm})
    version(answers, "2.28.9", loaded=True)
    del answers.facts[ONE]["model_config"]
    (finding,) = examined(answers, "runtime.nccl")
    assert finding.severity.value == severity


def test_the_remedy_installs_the_version_that_cures_in_the_nodes_runtime() -> None:
    answers = with_graphs({})
    version(answers, "2.28.9", loaded=False)
    (finding,) = examined(answers, "runtime.nccl")
    venv = answers.facts[ONE]["runtime"]["venv"]
    assert finding.fix is not None
    assert finding.fix.to_paste == (f"{venv}/bin/pip install nvidia-nccl-cu13==2.30.4",)
    assert finding.data == {"got": "2.28.9", "nodes": [ONE, TWO], "expected": "2.30.4"}


def test_the_same_version_in_another_place_is_well() -> None:
    answers = running()
    load(answers, TWO, {"/usr/lib/libnccl.so.2.28.9": "2.28.9"})
    assert wrong(answers) == set()


def test_two_versions_on_one_node_are_a_failure() -> None:
    answers = running()
    answers.facts[TWO]["ours"][1]["libraries"] = {"/usr/lib/libnccl.so.2": "2.27.3"}
    codes = {(f.severity.value, f.node, f.code) for f in examined(answers, "running.libnccl")}
    assert ("FAIL", TWO, "ranks-differ") in codes


@pytest.mark.parametrize(
    ("libraries", "code"), [({NCCL: None}, "unread"), (None, "unread"), ({}, "not-loaded")]
)
def test_a_libnccl_that_cannot_be_read_is_unknown(
    libraries: dict[str, str | None] | None, code: str
) -> None:
    answers = running()
    load(answers, TWO, libraries)
    assert found(answers, "running.libnccl") == ("UNKNOWN", TWO, code)
    load(answers, ONE, libraries)
    # {} everywhere is a build without NCCL; what cannot be read anywhere is no proof of one.
    assert bool(wrong(answers)) == (libraries != {})


def test_a_build_without_nccl_is_no_fault() -> None:
    answers = running()
    for name in answers.names:
        load(answers, name, {})
    assert wrong(answers) == set()
    assert {f.code for f in examined(answers, "running.libnccl")} == {"no-nccl"}
