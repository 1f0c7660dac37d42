"""From a two-node inventory to a completion and back; one cluster for all tests here.

Real sshd, Ray and vLLM (CPU build). The tests depend on their order.
"""

from __future__ import annotations

import itertools
import json
import re
import signal
import threading
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.lab.faults import engine
from sparkctl.lab.inventory import MODEL_NAME
from sparkctl.node.completion import unverified
from tests.lab.cluster import Cluster, failure, unlocked, until
from tests.lab.examine import examine
from tests.lab.streams import streams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.doctor.looks import Generation
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.serving]
FOREIGN = "/tmp/foreign-ray"
KEY = "planted-key"
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=elsewhere.example"
    " -keyout ~/tls.key -out ~/tls.crt 2>/dev/null; echo ~"
)


@pytest.fixture(scope="module")
def guarded(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The lab with an inventory whose API has a key and TLS."""
    plain = Cluster(lab, lab.inventory)
    home = plain.on("spark-1", CERTIFICATE).strip()
    vllm = yaml.safe_load(lab.inventory.read_text())["vllm"]
    arguments = {"ssl-keyfile": f"{home}/tls.key", "ssl-certfile": f"{home}/tls.crt"}
    vllm["arguments"] = {**vllm.get("arguments", {}), "api-key": KEY, **arguments}
    return plain.changed(tmp_path_factory.mktemp("guarded") / "inventory.yaml", vllm=vllm)


@pytest.fixture
def cluster(guarded: Cluster) -> Cluster:
    """Overrides the fixture with the lab's own inventory."""
    return guarded


def status(cluster: Cluster, *, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.run("status", "--deep", "--json", code=code).stdout)
    return found


@pytest.fixture
def served(cluster: Cluster) -> Cluster:
    """The running cluster, started by the first test that needs it."""
    cluster.up()
    return cluster


def changed(cluster: Cluster, tmp_path: Path) -> Cluster:
    """The same cluster with another argument for vLLM."""
    vllm = yaml.safe_load(cluster.inventory.read_text())["vllm"]
    arguments = {**vllm["arguments"], "max-num-seqs": 8}
    return cluster.changed(tmp_path / "changed.yaml", vllm={"arguments": arguments})


def test_ranks_that_ray_puts_on_one_node_end_the_start(cluster: Cluster, tmp_path: Path) -> None:
    # As if Ray detected two GPUs on the head and one on the worker.
    nodes = yaml.safe_load(cluster.inventory.read_text())["nodes"]
    for node, gpus in zip(nodes, (2, 1), strict=True):
        node["env"] = {"RAY_OVERRIDE_RESOURCES": json.dumps({"GPU": gpus})}
    other = cluster.changed(tmp_path / "i.yaml", nodes=nodes, ray={"num_gpus": "auto"})
    failed = other.up("--json", code=1)
    error = failure(failed.stdout)
    assert error["code"] == "ranks-misplaced"
    assert "set `ray.num_gpus: 1` in the inventory" in error["hint"]
    assert "ask for a completion" not in failed.stderr, "it was seen while vLLM started"
    assert cluster.traces() == {}


def test_up_from_nothing_ends_with_a_completion(cluster: Cluster) -> None:
    assert cluster.traces() == {}
    report = json.loads(cluster.up("--json").stdout)
    assert report["changed"] is True
    assert len(report["changes"]) == 3
    request = urllib.request.Request(
        report["endpoint"] + "/chat/completions",
        json.dumps(
            {
                "model": report["model"],
                "messages": [{"role": "user", "content": "Hello"}],
                "max_tokens": 8,
            }
        ).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    assert report["endpoint"].startswith("https://")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified())
    )
    with opener.open(request, timeout=120) as reply:
        assert json.load(reply)["usage"]["completion_tokens"] >= 1


def test_the_two_ranks_sit_on_two_nodes_as_ray_has_it(served: Cluster) -> None:
    found = status(served)
    address = {n["id"]: n["address"] for n in found["ray"]["nodes"] if n["alive"]}
    assert sorted(address.values()) == ["192.168.100.11", "192.168.100.12"]
    (group,) = [g for g in found["ray"]["groups"] if g["state"] == "CREATED"]
    assert sorted(address[n] for n in group["bundles"].values()) == sorted(address.values())
    assert [n["ranks"] for n in found["nodes"]] == [1, 1]


def test_status_generates_and_names_what_is_imitated(served: Cluster) -> None:
    found = status(served)
    assert found["healthy"] is True
    assert found["vllm"]["tokens"] >= 1
    printed = served.run("status").stdout
    assert "imitated: the ConnectX-7" in printed
    assert "spark-2" in printed


def test_a_second_up_says_no_changes(served: Cluster) -> None:
    before = [p["pid"] for n in status(served)["nodes"] for p in n["processes"]]
    again = served.up()
    assert again.stdout.startswith("no changes")
    assert [p["pid"] for n in status(served)["nodes"] for p in n["processes"]] == before


def test_a_changed_argument_restarts_nothing_that_serves_without_consent(
    served: Cluster, tmp_path: Path
) -> None:
    before = [p["pid"] for n in status(served)["nodes"] for p in n["processes"]]
    other = changed(served, tmp_path)
    why = "restart vLLM on spark-1: --max-num-seqs: 64 -> 8"
    refused = failure(other.up("--json", code=2).stdout)
    assert refused["code"] == "consent-required"
    assert why in refused["message"]
    assert "--yes" in refused["hint"]
    assert f"would {why}" in other.up("--dry-run").stdout
    assert [p["pid"] for n in status(served)["nodes"] for p in n["processes"]] == before


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


def generation(view: Snapshot) -> Generation:
    return view.seen(view.looks.generation, "spark-1")


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


def test_a_wedged_engine_is_found_although_the_api_answers(served: Cluster) -> None:
    engine.inject(served.lab.base, "api-wedged")
    try:
        wrong, view = examine(served.inventory)
        assert wrong == {("running.generation", "spark-1", "FAIL")}
        health = generation(view).health
        assert health.state == "wedged"
        assert (health.still_for or 99) < 10
    finally:
        engine.heal(served.lab.base)
    assert examine(served.inventory)[0] == set()


@contextmanager
def load(cluster: Cluster, count: int) -> Iterator[None]:
    """`count` streams of the model's longest answers."""
    host = cluster.lab.nodes[0].address
    with streams(host, KEY, MODEL_NAME, count, tokens=1900):
        yield


def test_a_saturated_engine_is_busy_and_left_alone(served: Cluster) -> None:
    before = [p["pid"] for n in status(served)["nodes"] for p in n["processes"]]
    with load(served, 200):
        again = served.up()
        assert again.stdout.startswith("no changes")
        assert re.search(r"busy: 64 running, \d+ waiting, [\d.]+ tokens/s", again.stderr)
        wrong, view = examine(served.inventory)
        assert wrong == set()
        assert generation(view).health.state == "busy"
    assert [p["pid"] for n in status(served)["nodes"] for p in n["processes"]] == before


def test_a_rank_that_hangs_is_reported_and_restarted_and_ctrl_c_says_what_is_down(
    served: Cluster,
) -> None:
    (rank,) = served.on("spark-2", "pgrep -f '[r]ay::RayWorkerProc'").split()
    with load(served, 8):
        served.on("spark-2", f"kill -STOP {rank}")
        wrong, view = examine(served.inventory)
        assert wrong == {("running.generation", "spark-1", "FAIL")}
        health = generation(view).health
        assert health.state == "wedged"
        assert health.running
        assert status(served, code=1)["vllm"]["health"]["state"] == "wedged"
        restart, seen = until(served, "] start vLLM", "up")
    restart.send_signal(signal.SIGINT)
    _, err = restart.communicate(timeout=120)
    assert "restart vLLM on spark-1: no completion: wedged: " in seen
    assert restart.returncode == 130, err
    assert "MiniMax-M2-mini is down: it was stopped for the restart" in err
    assert status(served, code=1)["vllm"]["error"] == "not running"


def test_an_up_that_slept_while_another_took_over_changes_nothing_more(cluster: Cluster) -> None:
    """The test before left Ray running, and no vLLM."""
    first, _ = until(cluster, "] start vLLM", "up", "--json")
    try:
        first.send_signal(signal.SIGSTOP)
        unlocked(cluster, "up")
        before = status(cluster)["nodes"]
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=120)
    finally:
        first.kill()
    assert first.returncode == 1, err
    assert failure(out)["code"] == "lease-lost"
    assert "roll back:" not in err
    after = status(cluster)["nodes"]
    pids = [[p["pid"] for node in nodes for p in node["processes"]] for nodes in (before, after)]
    assert pids[0] == pids[1]


def raylets(nodes: list[dict[str, Any]]) -> list[int]:
    """The pids of the nodes' raylets."""
    processes = [p for node in nodes for p in node["processes"]]
    return [p["pid"] for p in processes if "raylet/raylet" in p["command"]]


def test_up_recovers_after_vllm_was_killed(served: Cluster) -> None:
    before = status(served)["nodes"]
    victims = [str(p["pid"]) for p in before[0]["processes"] if p["role"] == "vllm"]
    served.on("spark-1", "kill -9 " + " ".join(victims))
    assert status(served, code=1)["vllm"]["error"] == "not running"
    changes = json.loads(served.up("--json").stdout)["changes"]
    assert changes == ["start vLLM on spark-1: not running"]
    after = status(served)["nodes"]
    assert raylets(before) == raylets(after), "Ray was kept"


def test_a_worker_that_joined_by_the_management_network(served: Cluster) -> None:
    engine.inject(served.lab.base, "ray-on-management")
    try:
        # The rank on that node ends with its raylet; vLLM ends some seconds later.
        deadline = time.monotonic() + 120
        while status(served, code=1)["vllm"].get("error") != "not running":
            assert time.monotonic() < deadline, "vLLM outlives its rank"
        wrong, _ = examine(served.inventory)
        assert ("running.ray", "spark-2", "FAIL") in wrong
        expected = {"running.ray", "running.generation", "running.ranks"}
        assert {check for check, _, _ in wrong} <= expected
    finally:
        engine.heal(served.lab.base)
    # After healing the worker has its fabric address again; vLLM lost a rank and is restarted.
    changes = json.loads(served.up("--json").stdout)["changes"]
    assert len(changes) == 1
    assert "start vLLM on spark-1: " in changes[0]
    assert examine(served.inventory)[0] == set()


def test_down_leaves_nothing_and_a_foreign_ray_lives(served: Cluster) -> None:
    ray = "~/.cache/sparkctl/runtime/bin/ray"
    served.on(
        "spark-2",
        f"{ray} start --head --port 6399 --include-dashboard=false --num-cpus 1"
        f" --node-ip-address 127.0.0.1 --object-store-memory 100000000 --temp-dir {FOREIGN}"
        " --disable-usage-stats >/dev/null 2>&1 </dev/null",
    )
    try:
        foreign = served.on("spark-2", f"pgrep -f {FOREIGN}").split()
        served.on("spark-1", "rm ~/.sparkctl/lab/applied.json")  # the record is lost
        down = json.loads(served.run("down", "--json").stdout)
        assert down["failed"] == {}
        assert served.on("spark-2", f"pgrep -f {FOREIGN}").split() == foreign
        served.on("spark-2", f"{ray} status --address 127.0.0.1:6399")
    finally:
        # The brackets keep the shell that runs pkill from matching itself. Ray's agents outlive a
        # killed raylet, and their titles do not name the cluster; sparkctl's have ended.
        served.on("spark-2", f"pkill -9 -f '[/]{FOREIGN[1:]}|[r]ay::'")
        served.on("spark-2", f"rm -rf {FOREIGN} /tmp/ray /dev/shm/*")
    served.on("spark-2", "while pgrep -f '[r]aylet|[r]ay::'; do sleep 0.1; done")
    assert served.traces() == {}
    assert served.run("down").stdout == "nothing to do\n"
