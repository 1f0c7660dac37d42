"""The checks of a running cluster: Ray's table, environments, ranks, the API, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.doctorview import INVENTORY, examined, healthy, wrong
from tests.unit.runningpair import (
    ALIVE,
    ONE,
    TWO,
    found,
    only,
    rank,
    ray_nodes,
    recorded,
    running,
)

if TYPE_CHECKING:
    from tests.unit.doctorview import Answers

FIXTURES = Path(__file__).parents[1] / "fixtures"
FAILED = {"error": "refused", "before": {}, "after": {}}


def test_an_environment_that_was_overwritten_is_a_failure_with_its_processes() -> None:
    answers = running()
    answers.facts[TWO]["ours"][1]["environment"]["NCCL_IB_HCA"] = "mlx5_0"
    assert found(answers, "running.environment") == ("FAIL", TWO, "variable-differs")
    assert only(answers, "running.environment").data == {
        "variable": "NCCL_IB_HCA",
        "expected": "rocep1s0f0,roceP2p1s0f0",
        "got": "mlx5_0",
        "pids": ["40"],
    }


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
def test_a_variable_that_is_not_planned(variable: str, value: str, severity: str | None) -> None:
    answers = running()
    answers.facts[TWO]["ours"][1]["environment"][variable] = value
    if severity is None:
        assert wrong(answers) == set()
        return
    finding = only(answers, "running.environment")
    assert (finding.severity.value, finding.node) == (severity, TWO)
    assert (finding.data["variable"], finding.data["got"]) == (variable, value)
    assert finding.evidence[0].got == value


PATHS = "/usr/local/cuda/lib64:/opt/x"
SITE = "{venv}/lib/python3.12/site-packages"
CV2 = f"{SITE}/cv2/../../lib64"


def with_paths(planned: str, variable: str = "LD_LIBRARY_PATH") -> Answers:
    """The pair serving with this list of paths in its inventory."""
    answers = running()
    env = answers.inventory.env.model_copy(update={"set": {variable: planned}})
    answers.inventory = answers.inventory.model_copy(update={"env": env})
    for name in answers.names:
        for process in answers.facts[name]["ours"]:
            process["environment"][variable] = planned
    return answers


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "PATH", "PYTHONPATH"])
@pytest.mark.parametrize(
    ("planned", "got", "well"),
    [
        (PATHS, f"{CV2}:{PATHS}", True),
        (PATHS, f"{CV2}:{CV2}:{PATHS}", True),  # each process that imports it adds it
        (PATHS, f"{PATHS}:{SITE}/nvidia/nccl/lib", True),
        (PATHS, f"{CV2}:{PATHS}:{{venv}}/bin", True),
        ("", f"{CV2}:", True),
        (PATHS, CV2, False),  # the plan's are gone
        (PATHS, f"{CV2}:/opt/x", False),
        (PATHS, f"/usr/lib/aarch64-linux-gnu:{PATHS}", False),
        (PATHS, f"{PATHS}:{{venv}}/../other/lib/python3.12/site-packages/x", False),
        (PATHS, f"{SITE}/../../../../other:{PATHS}", False),
        (PATHS, f"{PATHS}:", False),  # the working directory
        (PATHS, f"/usr/local/cuda/lib64:{CV2}:/opt/x", False),
    ],
)
def test_what_the_runtimes_packages_add_to_a_list_of_paths_is_no_deviation(
    planned: str, got: str, well: bool, variable: str
) -> None:
    answers = with_paths(planned, variable)
    venv = answers.facts[TWO]["runtime"]["venv"]
    answers.facts[TWO]["ours"][1]["environment"][variable] = got.format(venv=venv)
    if well:
        assert wrong(answers) == set()
    else:
        assert found(answers, "running.environment") == ("WARN", TWO, "variable-differs")


@pytest.mark.parametrize(
    ("got", "well"),
    [
        (f"{CV2}:", True),  # cv2's own words, where it was unset
        (CV2, True),
        (f"{CV2}:/usr/local/lib", False),
        ("/usr/local/lib", False),
        ("", False),
    ],
)
def test_a_package_may_set_what_the_plan_lacks(got: str, well: bool) -> None:
    answers = running()
    venv = answers.facts[TWO]["runtime"]["venv"]
    answers.facts[TWO]["ours"][1]["environment"]["LD_LIBRARY_PATH"] = got.format(venv=venv)
    if well:
        assert wrong(answers) == set()
    else:
        assert found(answers, "running.environment") == ("WARN", TWO, "variable-differs")


def test_a_packages_own_path_is_without_links() -> None:
    answers = with_paths(PATHS)
    runtime = answers.facts[TWO]["runtime"]
    extended = f"/mnt/disk/vllm/lib/python3.12/site-packages/cv2/../../lib64:{PATHS}"
    answers.facts[TWO]["ours"][1]["environment"]["LD_LIBRARY_PATH"] = extended
    runtime.pop("real", None)
    assert found(answers, "running.environment") == ("WARN", TWO, "variable-differs")
    runtime["real"] = "/mnt/disk/vllm"
    assert wrong(answers) == set()


def test_the_systems_libraries_are_not_the_runtimes_though_it_is_the_system() -> None:
    answers = with_paths(PATHS)
    answers.facts[TWO]["runtime"] |= {"venv": "/usr", "real": "/usr"}
    environment = answers.facts[TWO]["ours"][1]["environment"]
    for site in ("/usr/lib/python3/dist-packages", "/usr/local/lib/python3.12/dist-packages"):
        environment["LD_LIBRARY_PATH"] = f"{site}/cv2/../../lib64:{PATHS}"
        assert {f.code for f in examined(answers, "running.environment")} == {"ok"}
    environment["LD_LIBRARY_PATH"] = f"/usr/lib/aarch64-linux-gnu:{PATHS}"
    assert found(answers, "running.environment") == ("WARN", TWO, "variable-differs")


def test_a_library_that_is_preloaded_is_a_deviation_wherever_it_is() -> None:
    answers = with_paths("/usr/lib/x.so", "LD_PRELOAD")
    venv = answers.facts[TWO]["runtime"]["venv"]
    own = f"{venv}/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2"
    answers.facts[TWO]["ours"][1]["environment"]["LD_PRELOAD"] = f"/usr/lib/x.so:{own}"
    assert found(answers, "running.environment") == ("FAIL", TWO, "variable-differs")


def test_an_environment_that_cannot_be_read_is_unknown_if_no_other_can() -> None:
    answers = running()
    first, second = answers.facts[TWO]["ours"]
    second["environment"] = None
    assert wrong(answers) == set()
    (finding,) = [f for f in examined(answers, "running.environment") if f.node == TWO]
    # The text alone has the counts.
    assert finding.summary == ("1 process with the planned environment, 1 without a readable one")
    first["environment"] = None
    assert wrong(answers) == {("running.environment", TWO, "UNKNOWN")}


def test_a_planned_variable_that_is_not_set_is_unset_in_the_finding() -> None:
    answers = running()
    del answers.facts[TWO]["ours"][0]["environment"]["GLOO_SOCKET_IFNAME"]
    finding = only(answers, "running.environment")
    assert finding.data["got"] is None
    assert finding.evidence[0].got == "unset"


def test_a_secret_is_not_compared_and_is_in_no_finding() -> None:
    answers = healthy(INVENTORY + "env: {set: {VLLM_API_KEY: hidden}}\n")
    answers.facts[TWO]["ours"] = [rank(answers, TWO, "ray", "/ray/raylet")]
    recorded(answers, TWO, ray_run="r1")
    assert answers.snapshot().environment(TWO)["VLLM_API_KEY"] == "hidden"
    del answers.facts[TWO]["ours"][0]["environment"]["VLLM_API_KEY"]  # the probe leaves it out
    (finding,) = [f for f in examined(answers, "running.environment") if f.node == TWO]
    assert finding.severity.value == "OK"


def test_a_process_of_an_older_run_is_a_leftover_and_nothing_else() -> None:
    answers = running()
    old = rank(answers, TWO, "vllm", "VLLM::Worker", run="r0", environment={"A": "1"})
    answers.facts[TWO]["ours"].append(old)
    assert wrong(answers) == {("host.leftovers", TWO, "WARN")}


def test_a_process_of_an_older_run_on_the_head_is_no_vllm_that_should_answer() -> None:
    answers = healthy()
    answers.facts[ONE]["ours"] = [rank(answers, ONE, "vllm", "VLLM::Worker_TP1", run="r0")]
    recorded(answers, ONE, ray_run="r1")
    answers.looks["generation"] = {ONE: FAILED}
    answers.looks["api"] = {ONE: {"url": "http://x:30000/health", "error": "refused"}}
    assert {(c, n, s) for c, n, s in wrong(answers) if s != "UNKNOWN"} == {
        ("host.leftovers", ONE, "WARN")
    }
    assert [f.code for f in examined(answers, "running.api")] == ["not-running"]


def test_an_api_that_does_not_answer_is_a_failure_though_the_record_cannot_be_read() -> None:
    answers = running()
    answers.looks["generation"][ONE] = FAILED
    del answers.facts[ONE]["state"]
    assert [f.severity.value for f in examined(answers, "running.api")] == ["FAIL"]


def test_a_rank_that_died_is_a_failure_and_one_that_starts_is_not() -> None:
    answers = running()
    lost = answers.facts[TWO]["ours"].pop(1)
    assert found(answers, "running.ranks") == ("FAIL", TWO, "ranks-missing")
    assert only(answers, "running.ranks").data == {"expected": 1, "got": 0, "pids": []}
    answers.facts[ONE]["ours"][1]["since"] = answers.facts[ONE]["time"] - 5
    (finding,) = examined(answers, "running.ranks")
    assert (finding.severity.value, finding.code) == ("INFO", "starting")
    answers.facts[TWO]["ours"].append(lost)
    assert wrong(answers) == set()


def died() -> Answers:
    """The pair with Ray alone, whose vLLM was not stopped."""
    answers = running()
    for name in answers.names:
        ours = answers.facts[name]["ours"]
        answers.facts[name]["ours"] = [p for p in ours if "raylet" in p["command"]]
    return answers


def test_a_vllm_that_died_is_a_failure_with_the_cause_in_its_log() -> None:
    answers = died()
    assert wrong(answers) == {("running.ranks", ONE, "FAIL")}
    answers.looks["log"][ONE]["tail"] = [
        "INFO x",
        "RuntimeError: ibv_reg_mr: Cannot allocate memory",
    ]
    finding = only(answers, "running.ranks")
    assert (finding.code, finding.data["run"]) == ("vllm-died", "r1")
    assert finding.data["cause"] == "memory-registration"
    assert str(finding.data["error"]).startswith("RuntimeError: ibv_reg_mr")
    assert finding.fix is not None
    assert "memlock" in finding.fix.text  # the remedy of that cause


def test_the_cause_of_a_death_is_read_above_the_last_lines() -> None:
    answers = died()
    text = (FIXTURES / "vllm/gpu-import-failed.log").read_text().splitlines()
    answers.looks["log"][ONE]["tail"] = text[-100:]
    assert only(answers, "running.ranks").data["cause"] is None
    answers.looks["log"][ONE]["errors"] = tuple(enumerate(text, 1))
    finding = only(answers, "running.ranks")
    assert finding.data["cause"] == "module-missing"
    assert "No module named 'flashinfer' (RayWorkerProc pid=679" in finding.summary
    assert finding.fix
    assert "every node" in finding.fix.text


def test_the_error_of_a_request_is_no_cause_of_a_death() -> None:
    answers = died()
    request = "(APIServer pid=1) ERROR 11-21 14:46:00 [serving.py:1] ValueError: too long"
    answers.looks["log"][ONE]["tail"] = ["INFO:     Application startup complete.", request]
    assert only(answers, "running.ranks").data["error"] is None


def test_the_cause_in_a_log_is_short_and_without_secrets() -> None:
    answers = died()
    answers.looks["log"][ONE]["tail"] = [f"KeyError: HF_TOKEN=hf_{'x' * 20} {'y' * 999}"]
    finding = only(answers, "running.ranks")
    assert "hf_" not in str(finding.document())
    assert len(finding.summary) < 400
    del answers.looks["log"]
    assert only(answers, "running.ranks").data["cause"] is None


def test_a_vllm_that_is_gone_is_no_fault_while_a_command_is_at_work_or_after_down() -> None:
    answers = died()
    holder = {"who": "a", "when": "b", "why": "up", "expires_in": 60.0}
    answers.facts[ONE]["state"]["lease"] = holder
    assert wrong(answers) == set()
    answers.facts[ONE]["state"]["lease"] = None
    recorded(answers, ONE, ray_run="r1")
    assert wrong(answers) == set()


def test_a_rank_in_a_container_without_its_devices_is_a_failure() -> None:
    answers = running()
    answers.facts[TWO]["ours"][1]["uverbs"] = []
    failed = [f for f in examined(answers, "running.verbs") if f.severity.value == "FAIL"]
    assert [(f.node, f.code, f.data["hca"]) for f in failed] == [
        (TWO, "uverbs-hidden", "rocep1s0f0"),
        (TWO, "uverbs-hidden", "roceP2p1s0f0"),
    ]


def test_a_rank_with_a_limit_on_locked_memory_is_a_failure() -> None:
    answers = running()
    process = answers.facts[TWO]["ours"][1]
    process["memlock"] = 65536
    assert found(answers, "running.verbs") == ("FAIL", TWO, "memlock-limit")
    process["memlock"] = 2**31
    assert found(answers, "running.verbs") == ("WARN", TWO, "memlock-low")
    process["capabilities"] = None  # they could not be read, which is not "none"
    assert found(answers, "running.verbs") == ("UNKNOWN", TWO, "capabilities-unread")
    process["capabilities"] = 1 << 14
    assert wrong(answers) == set()
    process["memlock"] = None
    assert wrong(answers) == {("running.verbs", TWO, "UNKNOWN")}


def test_processes_that_are_no_ranks_have_no_devices_to_look_at() -> None:
    answers = running()
    for process in answers.facts[TWO]["ours"]:
        process["rank"] = False
    assert [f.code for f in examined(answers, "running.verbs") if f.node == TWO] == ["not-running"]


def test_a_placement_group_that_waits_is_a_warning() -> None:
    answers = running()
    groups = answers.looks["ray"][ONE]["groups"]
    groups.append({"state": "CREATED", "bundles": {"0": "a"}, "gpus": {"0": 1.0}})
    assert wrong(answers) == set()
    groups.append({"state": "PENDING", "bundles": {"0": "", "1": ""}, "gpus": {}})
    assert found(answers, "running.ray") == ("WARN", ONE, "placement-group-waits")
    assert only(answers, "running.ray").data == {"state": "PENDING", "bundles": 2}


GONE, ELSEWHERE = ("192.168.100.12", False, 0.0), ("10.77.0.12", True, 1.0)


@pytest.mark.parametrize(
    ("worker", "code"),
    [
        ((), "not-alive"),
        ((GONE,), "not-alive"),
        ((ELSEWHERE,), "other-address"),
        ((ALIVE[1], ELSEWHERE), "other-address"),
        ((("192.168.100.12", True, 0.0),), "gpus-missing"),
    ],
)
def test_a_node_that_ray_does_not_have_as_planned(
    worker: tuple[tuple[str, bool, float], ...], code: str
) -> None:
    answers = running()
    own = answers.facts[TWO]["net"]["enP7s7"]["ipv4"][0].partition("/")[0]
    nodes = [(own if a == ELSEWHERE[0] else a, alive, gpus) for a, alive, gpus in worker]
    answers.looks["ray"][ONE]["nodes"] = ray_nodes(ALIVE[0], *nodes)
    assert found(answers, "running.ray") == ("FAIL", TWO, code)
    if code == "other-address":
        assert f"{own} (enP7s7)" in only(answers, "running.ray").summary  # which network it is


def test_a_ray_that_does_not_answer() -> None:
    answers = running()
    answers.looks["ray"][ONE] = {"error": "no GCS"}
    assert found(answers, "running.ray") == ("FAIL", ONE, "no-answer")
    assert only(answers, "running.ray").data == {"error": "no GCS"}


def test_an_api_that_is_down_wedged_or_behind_a_firewall() -> None:
    answers = running()
    answers.looks["generation"][ONE] = FAILED
    assert found(answers, "running.api") == ("FAIL", ONE, "no-answer")
    assert found(answers, "running.generation") == ("UNKNOWN", ONE, "no-api")
    answers = running()
    answers.looks["generation"][ONE].update(tokens=0, error="timed out")
    answers.looks["generation"][ONE]["health"] = {"state": "failing"}
    assert found(answers, "running.generation") == ("FAIL", ONE, "no-completion")
    answers = running()
    answers.looks["api"][ONE]["error"] = "timed out"
    assert found(answers, "running.api") == ("WARN", ONE, "unreachable")
    assert wrong(answers) == {("running.api", ONE, "WARN")}


def engine(state: str, error: str | None = None, **figures: Any) -> Answers:
    """A running cluster whose completion did not come back."""
    answers = running()
    generation = answers.looks["generation"][ONE]
    del generation["tokens"], generation["seconds"]
    generation.update(health={"state": state, **figures}, error=error)
    return answers


def test_a_busy_engine_is_no_fault_and_shows_its_figures() -> None:
    answers = engine("busy", running=64, waiting=136, tokens_per_second=420.3, still_for=0.0)
    assert wrong(answers) == set()
    (finding,) = examined(answers, "running.generation")
    assert (finding.severity.value, finding.code) == ("INFO", "busy")
    assert finding.evidence[0].got == "64 running, 136 waiting, 420.3 tokens/s"
    # The tokens of others prove the network as well.
    assert {f.severity.value for f in examined(answers, "running.traffic")} == {"OK"}


def test_a_wedged_engine_fails_with_its_evidence() -> None:
    answers = engine("wedged", "wedged", running=3, waiting=1, tokens_per_second=0.0, still_for=5.2)
    assert found(answers, "running.generation") == ("FAIL", ONE, "wedged")
    evidence = only(answers, "running.generation").evidence[0]
    assert "3 running, 1 waiting, no engine step ended for 5.2 s" in evidence.got


def test_without_metrics_busy_and_wedged_cannot_be_told_apart() -> None:
    answers = engine("unclear", "no completion within 20 s")
    assert found(answers, "running.generation") == ("UNKNOWN", ONE, "unclear")
    assert "no completion within 20 s" in only(answers, "running.generation").summary


def test_what_was_not_collected_is_unknown() -> None:
    answers = running()
    answers.looks, answers.passive = {}, True
    unknown = [f for f in examined(answers) if f.severity.value == "UNKNOWN"]
    assert {f.check for f in unknown} >= {"running.ray", "running.generation", "fabric.ping"}
    assert {f.data["kind"] for f in unknown} == {"unasked"}
    assert {f.summary for f in unknown} == {"skipped with --passive"}  # the user's own choice
