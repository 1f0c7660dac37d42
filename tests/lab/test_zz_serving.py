"""From a two-node inventory to a completion and back; one cluster for all tests here.

Real sshd, Ray and vLLM (CPU build). The tests depend on their order.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.cluster import Cluster, failure
from tests.lab.examine import examine, generation
from tests.lab.guarded import KEY, pids, status

if TYPE_CHECKING:
    from pathlib import Path


# By Python where there is no locale (PEP 538), and by `ray start` to its daemons (2.60, run).
ADDED = {"LC_CTYPE", "RAY_CLIENT_MODE", "LD_PRELOAD", "RAY_LD_PRELOAD_ON_WORKERS"}
pytestmark = [pytest.mark.lab, pytest.mark.serving]


def changed(cluster: Cluster, tmp_path: Path) -> Cluster:
    """The same cluster with another argument for vLLM."""
    vllm = yaml.safe_load(cluster.inventory.read_text())["vllm"]
    arguments = {**vllm["arguments"], "max-num-seqs": 8}
    return cluster.changed(tmp_path / "changed.yaml", vllm={"arguments": arguments})


def test_ranks_that_ray_puts_on_one_node_end_the_start(guarded: Cluster, tmp_path: Path) -> None:
    # As if Ray detected two GPUs on the head and one on the worker.
    nodes = yaml.safe_load(guarded.inventory.read_text())["nodes"]
    for node, gpus in zip(nodes, (2, 1), strict=True):
        node["env"] = {"RAY_OVERRIDE_RESOURCES": json.dumps({"GPU": gpus})}
    other = guarded.changed(tmp_path / "i.yaml", nodes=nodes, ray={"num_gpus": "auto"})
    failed = other.up("--json", code=1)
    error = failure(failed.stdout)
    assert error["code"] == "ranks-misplaced"
    assert "set `ray.num_gpus: 1` in the inventory" in error["hint"]
    assert "ask for a completion" not in failed.stderr, "it was seen while vLLM started"
    assert guarded.traces() == {}


def test_up_from_nothing_ends_with_a_completion(guarded: Cluster) -> None:
    assert guarded.traces() == {}
    report = json.loads(guarded.up("--json").stdout)
    assert report["changed"] is True
    assert len(report["changes"]) == 3
    assert report["endpoint"].startswith("https://")
    (service,) = report["services"].values()
    reply = subprocess.run(
        ["sh", "-c", f"{service['curl']} --insecure --silent --noproxy '*' --max-time 120"],
        env={**os.environ, "VLLM_API_KEY": KEY},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert json.loads(reply.stdout)["usage"]["completion_tokens"] >= 1


def test_the_two_ranks_sit_on_two_nodes_as_ray_has_it(served: Cluster) -> None:
    found = status(served)
    address = {n["id"]: n["address"] for n in found["ray"]["nodes"] if n["alive"]}
    assert sorted(address.values()) == ["192.168.100.11", "192.168.100.12"]
    (group,) = [g for g in found["ray"]["groups"] if g["state"] == "CREATED"]
    assert sorted(address[n] for n in group["bundles"].values()) == sorted(address.values())
    assert [n["ranks"] for n in found["nodes"]] == [1, 1]
    for node in found["nodes"]:  # Ray's own default is 15
        nice = served.on(node["name"], "ps -eo ni=,args= | grep '[r]ay::RayWorker'").splitlines()
        assert {line.split()[0] for line in nice} == {"0"}


def test_status_generates_and_names_what_is_imitated(served: Cluster) -> None:
    found = status(served)
    assert found["healthy"] is True
    assert found["vllm"]["tokens"] >= 1
    printed = served.run("status").stdout
    assert "imitated: nodes, ConnectX-7, " in printed
    assert "spark-2" in printed


def test_a_second_up_says_no_changes(served: Cluster) -> None:
    before = pids(status(served))
    again = served.up()
    assert again.stdout.startswith("no changes")
    assert pids(status(served)) == before


def test_a_changed_argument_restarts_nothing_that_serves_without_consent(
    served: Cluster, tmp_path: Path
) -> None:
    before = pids(status(served))
    other = changed(served, tmp_path)
    why = "restart vLLM on spark-1: --max-num-seqs: 64 -> 8"
    refused = failure(other.up("--json", code=2).stdout)
    assert refused["code"] == "consent-required"
    assert why in refused["message"]
    assert "--yes" in refused["hint"]
    assert f"would {why}" in other.up("--dry-run").stdout
    assert pids(status(served)) == before


def test_the_token_and_environment_are_private(served: Cluster) -> None:
    for node in ("spark-1", "spark-2"):
        modes = "find ~/.sparkctl/lab -{} {} -printf '%m\\n' | sort -u"
        assert served.on(node, modes.format("type", "f")).split() == ["600"]
        assert served.on(node, modes.format("type", "d")).split() == ["700"]
        token = served.on(node, "cat ~/.sparkctl/lab/ray-token").strip()
        assert token not in served.on(node, "cat /proc/*/cmdline | tr '\\0' ' '")
        assert token not in served.run("status", "--json").stdout


def test_the_api_key_is_in_the_heads_environment_alone(served: Cluster) -> None:
    assert KEY in served.on("spark-1", "cat ~/.sparkctl/lab/environment.json")
    assert KEY not in served.on("spark-2", "cat ~/.sparkctl/lab/environment.json")
    for node in ("spark-1", "spark-2"):
        assert KEY not in served.on(node, "cat /proc/*/cmdline | tr '\\0' ' '")
        assert KEY not in served.on(node, "cat ~/.sparkctl/lab/applied.json")
        assert KEY not in served.on(node, "cat ~/.sparkctl/lab/logs/*/*")
    for shown in (("status", "--deep", "--json"), ("plan",), ("env",), ("plan", "--json")):
        assert KEY not in served.run(*shown).stdout


def environ(cluster: Cluster, node: str, pid: str) -> dict[str, str]:
    """The environment that a process was started with."""
    text = cluster.on(node, f"cat /proc/{pid}/environ")
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def test_what_runs_is_what_plan_shows(served: Cluster) -> None:
    document = json.loads(served.run("plan", "--json").stdout)
    for node, program in (
        ("spark-1", "[b]in/vllm serve"),
        ("spark-1", "[r]aylet/raylet "),
        ("spark-2", "[r]aylet/raylet "),
    ):
        pid = served.on(node, f"pgrep -f '{program}'").split()[0]
        kind = "vllm" if "serve" in program else "ray"
        (unit,) = [u for u in document["units"] if (u["node"], u["kind"]) == (node, kind)]
        shown = {**document["nodes"][node]["environment"], **unit["environment"]}
        runs = environ(served, node, pid)
        assert {k: runs.get(k) for k, v in shown.items() if v != "****"} == {
            k: v for k, v in shown.items() if v != "****"
        }
        login = dict(line.split("=", 1) for line in served.on(node, "env -0").split("\0") if line)
        marks = {"SPARKCTL_CLUSTER", "SPARKCTL_ROLE", "SPARKCTL_UNIT"}
        assert runs.keys() - shown.keys() - login.keys() - ADDED == marks
        if kind == "vllm":
            argv = served.on(node, f"cat /proc/{pid}/cmdline").split("\0")[1:-1]
            home = served.on(node, "echo ~").strip()
            assert argv == [unit["argv"][0].replace("~", home, 1), *unit["argv"][1:]]
        else:
            log = served.run("logs", "ray", node, "--all").stdout.splitlines()[0]
            assert log.endswith(f": {shlex.join(unit['argv'])}")


def test_logs_of_both(served: Cluster) -> None:
    assert "Application startup complete" in served.run("logs", "vllm", "-n", "500").stdout
    assert "Ray runtime started" in served.run("logs", "ray", "spark-2").stdout
    whole = served.run("logs", "vllm", "--all").stdout
    assert whole.startswith("== sparkctl ")
    assert "Application startup complete" in whole


def test_a_log_is_followed_until_ctrl_c(served: Cluster) -> None:
    process = served.start("logs", "vllm", "--follow", "-n", "1")
    bound = threading.Timer(60, process.kill)
    bound.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        status(served)  # asks for a completion, which vLLM logs
        assert any("/v1/completions" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    finally:
        bound.cancel()


def test_the_doctor_of_a_running_cluster_finds_nothing_wrong(served: Cluster) -> None:
    wrong, view = examine(served.inventory, skip=())
    assert wrong == set()
    assert (generation(view).answer.tokens or 0) >= 1


def test_the_doctor_reads_the_environment_of_what_runs(served: Cluster, tmp_path: Path) -> None:
    # It replaces the lab's own values, OMP_NUM_THREADS among them, which is no fabric setting.
    other = served.changed(tmp_path / "i.yaml", env={"set": {"NCCL_DEBUG": "INFO"}})
    wrong, _ = examine(other.inventory, skip=("running.generation", "running.api"))
    both = itertools.product(("spark-1", "spark-2"), ("FAIL", "WARN"))
    assert wrong == {("running.environment", *found) for found in both}


def test_no_process_that_works_is_restarted_with_a_broken_value(
    served: Cluster, tmp_path: Path
) -> None:
    values = {"NCCL_IB_HCA": "rocep1s0f0, roceP2p1s0f0"}
    other = served.changed(tmp_path / "i.yaml", env={"set": values})
    document = json.loads(other.run("doctor", "--json", "--skip", "runtime.imports", code=3).stdout)
    restarts = [f["fix"] for f in document["findings"] if f["check"] == "running.environment"]
    assert {fix["text"] for fix in restarts if fix} == {
        "fix fabric.hca on spark-1 and fabric.hca on spark-2 first"
    }
    assert not [f for f in document["findings"] if "sparkctl up" in str(f["fix"])]
