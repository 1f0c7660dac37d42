"""The checks of one node outside its fabric: kernel, login, ports, leftovers, runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.doctor.finding import Severity
from sparkctl.plan.record import make
from tests.unit.answers import listener, process
from tests.unit.clusterpair import applied
from tests.unit.doctorview import INVENTORY, examined, healthy, wrong
from tests.unit.peeranswers import tried

if TYPE_CHECKING:
    from sparkctl.doctor.finding import Finding
    from tests.unit.doctorview import Answers

ONE, TWO = "spark-1", "spark-2"
GIB = 2**30


def of_two(answers: Answers, check: str) -> list[Finding]:
    """A check's findings on the second node."""
    return [f for f in examined(answers, check) if f.node == TWO]


@pytest.mark.parametrize(
    ("release", "cma", "cmdline", "severity", "code"),
    [
        ("7.0.0-1019-nvidia", 0, "quiet", "FAIL", "kho-kernel"),
        ("7.0.0-31-generic", 0, "quiet", "FAIL", "kho-kernel"),
        ("7.0.0-1020-nvidia", 0, "quiet", "WARN", "no-cma-pool"),
        ("7.0.0-310-generic", 0, "quiet", "WARN", "no-cma-pool"),
        ("7.0.0-1019-nvidia", 0, "quiet kho=off", "OK", "ok"),
        ("7.0.0-1019-nvidia", GIB, "quiet", "OK", "ok"),
        ("7.0.0-1019-nvidia", None, "quiet", "UNKNOWN", "unread"),
        ("7.0.0-1019-nvidia", 0, None, "UNKNOWN", "unread"),
        ("6.17.0-1008-nvidia", 0, "quiet", "OK", "ok"),
        ("6.17.0-1008-nvidia", None, "quiet", "OK", "ok"),
        (None, 0, "quiet", "UNKNOWN", "unread"),
    ],
)
def test_kho_needs_all_three_signs(
    release: str | None, cma: int | None, cmdline: str | None, severity: str, code: str
) -> None:
    answers = healthy()
    answers.facts[TWO]["system"].update(kernel=release, cmdline=cmdline)
    answers.facts[TWO]["memory"].pop("CmaTotal", None)
    if cma is not None:
        answers.facts[TWO]["memory"]["CmaTotal"] = cma
    (found,) = of_two(answers, "host.kernel")
    assert (found.severity.value, found.code) == (severity, code)


def test_few_files_do_not_hide_that_shared_memory_is_removed() -> None:
    answers = healthy()
    two = answers.facts[TWO]
    two["uid"], two["system"]["remove_ipc"] = 1000, True
    two["system"]["limits"]["nofile"] = 1024
    codes = [f.code for f in of_two(answers, "host.login")]
    assert codes == ["few-open-files", "shared-memory-removed"]
    two["system"]["linger"] = True
    assert [f.code for f in of_two(answers, "host.login")] == ["few-open-files"]


@pytest.mark.parametrize(
    ("group", "value", "check", "code"),
    [
        ("sudo", False, "reach.sudo", "no-sudo"),
        ("model", {"is_path": False}, "model.present", "hub-model"),
    ],
)
def test_what_is_only_worth_knowing_is_no_warning(
    group: str, value: Any, check: str, code: str
) -> None:
    answers = healthy()
    answers.facts[TWO][group] = value
    (finding,) = of_two(answers, check)
    assert (finding.severity.value, finding.code) == ("INFO", code)


def test_the_slow_login_of_a_node_is_a_warning() -> None:
    answers = healthy()
    answers.login = {**answers.login, TWO: 4.2}
    (finding,) = of_two(answers, "reach.ssh")
    assert (finding.severity.value, finding.code) == ("WARN", "slow-login")
    assert finding.data["got"] == 4.2


def test_a_port_that_is_taken_and_one_that_is_ours() -> None:
    answers = healthy()
    owner = listener(6379, pid=7, uid=0, user="root", command="redis-server")
    answers.facts[ONE]["ports"].append(owner)
    assert wrong(answers) == {("ports.free", ONE, "FAIL")}
    (finding,) = [f for f in examined(answers, "ports.free") if f.severity.value == "FAIL"]
    assert finding.data == {"port": 6379, "setting": "ray.port", "pid": 7, "uid": 0}
    assert finding.evidence[0].got == "pid 7 of root (uid 0): redis-server"
    owner.update(pid=None, uid=1001, user="bob", command=None)
    (finding,) = [f for f in examined(answers, "ports.free") if f.severity.value == "FAIL"]
    assert finding.evidence[0].got == "a process of bob (uid 1001)"
    owner.update(user="")
    (finding,) = [f for f in examined(answers, "ports.free") if f.severity.value == "FAIL"]
    assert finding.evidence[0].got == "a process of uid 1001"
    owner["cluster"] = "lab"
    reached = answers.looks["peers"][TWO]["connects"][0]
    assert reached["port"] == 6379
    reached.update(error=None, refused=False)
    assert wrong(answers) == set()


def test_rays_worker_ports_as_the_inventory_has_them() -> None:
    answers = healthy(INVENTORY + "ray: {min_worker_port: 21000, max_worker_port: 21039}\n")
    ports = answers.facts[TWO]["ports"] = [listener(p) for p in range(21000, 21008)]
    assert wrong(tried(answers)) == set()
    ports.append(listener(21008))
    assert wrong(tried(answers)) == {("ports.workers", TWO, "WARN")}
    for owner in ports:
        owner["cluster"] = "lab"
    assert wrong(tried(answers)) == set()


RAY_ALONE = applied({"vllm/0/ray/spark-1": {**make("r1", (), {}).document(), "run": "r1"}})


def stray() -> Answers:
    """A process of another run on the second node."""
    answers = healthy()
    answers.facts[TWO]["ours"] = [process("vllm", "python", run="old")]
    return answers


def record(answers: Answers, name: str, written: str | None) -> None:
    """Have a node's record be this text."""
    answers.facts[name]["state"].update(exists=True, files={"applied.json": written})


@pytest.mark.parametrize(
    ("written", "code"), [(None, "unrecorded"), ("", "record-damaged"), ("[1]", "record-damaged")]
)
def test_without_a_record_nothing_that_runs_is_called_a_leftover(
    written: str | None, code: str
) -> None:
    """Else `doctor --fix` would offer to end a cluster that serves."""
    answers = stray()
    record(answers, TWO, written)
    (found,) = of_two(answers, "host.leftovers")
    assert (found.severity, found.code, found.fix) == (Severity.UNKNOWN, code, None)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (None, "unrecorded"),
        ("{", "record-damaged"),
        ('{"schema": 1, "units": {}}', "unrecorded"),
    ],
)
def test_without_the_heads_record_no_rank_is_called_a_leftover(
    written: str | None, code: str
) -> None:
    """A worker's own record does not have the run of a vLLM that was started later."""
    answers = stray()
    record(answers, TWO, RAY_ALONE)
    record(answers, ONE, written)
    (found,) = of_two(answers, "host.leftovers")
    assert (found.severity, found.code, found.fix) == (Severity.UNKNOWN, code, None)
    assert found.data.get("node") == (ONE if code == "unrecorded" else None)


def test_a_vllm_on_the_head_that_is_not_recorded_leaves_every_run_unknown() -> None:
    answers = stray()
    answers.facts[ONE]["ours"] = [process("vllm", "python vllm serve m", run="old")]
    for name in (ONE, TWO):
        record(answers, name, RAY_ALONE)
    found = examined(answers, "host.leftovers")
    assert [(f.severity, f.code) for f in found] == [(Severity.UNKNOWN, "unrecorded")] * 2
    assert not any(f.fix for f in found)


def test_what_a_command_under_way_started_is_no_leftover() -> None:
    answers = stray()
    holder = {"who": "a", "when": "b", "why": "up", "expires_in": 60.0}
    answers.facts[ONE]["state"]["lease"] = holder
    (found,) = of_two(answers, "host.leftovers")
    assert (found.severity, found.code) == (Severity.INFO, "locked")


@pytest.mark.parametrize(("offline", "severity"), [(None, "WARN"), ("0", "WARN"), ("1", "FAIL")])
def test_a_hub_model_whose_links_lead_nowhere(offline: str | None, severity: str) -> None:
    text = INVENTORY.replace("/models/m2", "MiniMaxAI/MiniMax-M2")
    answers = healthy(
        text + (f"env: {{set: {{HF_HUB_OFFLINE: '{offline}'}}}}\n" if offline else "")
    )
    folder = "/home/u/.cache/huggingface/hub/models--MiniMaxAI--MiniMax-M2/snapshots/c0ffee"
    shards = [f"model-0000{n}.safetensors" for n in range(5)]
    for facts in answers.facts.values():
        facts["model"] = {"is_path": False, "path": folder, "dangling": []}
    answers.facts[TWO]["model"]["dangling"] = shards
    assert [f.code for f in examined(answers, "model.present")] == ["hub-model", "dangling-links"]
    (found,) = of_two(answers, "model.present")
    assert found.severity.value == severity
    assert "and 2 more" in found.summary
    assert found.data == {"path": folder, "dangling": tuple(shards)}
    assert found.fix
    assert found.fix.to_paste == ("hf download MiniMaxAI/MiniMax-M2",)


def test_the_hubs_cache_of_the_plan_is_the_one_to_fill() -> None:
    text = INVENTORY.replace("/models/m2", "a/m").replace("0.2}", "0.2, revision: v1}")
    answers = healthy(text + "env: {set: {HF_HOME: '/data/my hub/${NODE}'}}\n")
    model = {"is_path": False, "path": "/data/x", "dangling": ["a.safetensors"]}
    answers.facts[TWO]["model"] = model
    (found,) = of_two(answers, "model.present")
    assert found.fix
    expected = "env 'HF_HOME=/data/my hub/spark-2' hf download a/m --revision v1"
    assert found.fix.to_paste == (expected,)


def test_a_directory_whose_links_lead_nowhere_gets_the_files_and_not_the_links() -> None:
    answers = healthy()
    answers.facts[TWO]["model"] |= {"dangling": ["a.safetensors"], "shards": 0}
    (found,) = of_two(answers, "model.present")
    assert (found.severity.value, found.code) == ("FAIL", "dangling-links")
    assert found.fix
    assert "--copy-links" in found.fix.to_paste[0]
