"""SGLang's CPU run over two nodes: from an inventory to a completion and back."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.cli.lab import cache_folder
from sparkctl.node.vitals import Look, parse
from tests.lab.cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.serving]
HEAD, WORKER = "spark-1", "spark-2"
KEPT = "/root/ended.log"  # a link to a log, which `down` removes
# SGLang 0.5.23 on a CPU without AMX; the kernels that it would compile take longer than they save.
CPU_ENVIRONMENT = {
    "SGLANG_USE_CPU_ENGINE": "1",
    "SGLANG_CPU_OMP_THREADS_BIND": "0|1",
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
CPU_ARGUMENTS = {
    "device": "cpu",
    "attention-backend": "torch_native",
    "sampling-backend": "pytorch",
    "grammar-backend": "none",
    "disable-overlap-schedule": True,
    "kv-cache-dtype": None,
    "max-total-tokens": 4096,
    "mem-fraction-static": 0.3,  # other processes take memory while it loads
    "context-length": 2048,
}


@pytest.fixture
def sglang(lab: Lab, tmp_path: Path) -> Cluster:
    """A cluster of both nodes with SGLang, over the lab's own model."""
    value = yaml.safe_load(lab.inventory.read_text())
    vllm = value.pop("vllm")
    service = {"engine": "sglang", "arguments": CPU_ARGUMENTS}
    service |= {key: vllm[key] for key in ("model", "served_model_name", "tensor_parallel_size")}
    value |= {"cluster": "sglang", "services": {"m2": service}, "env": {"set": CPU_ENVIRONMENT}}
    value["runtime"] = {"venv": str(cache_folder() / "runtime-sglang")}
    del value["ray"]
    path = tmp_path / "sglang.yaml"
    path.write_text(yaml.safe_dump(value))
    return Cluster(lab, path)


def pids(cluster: Cluster) -> dict[str, list[str]]:
    """SGLang's processes on each node."""
    look = "pgrep -f '[s]glang( serve|::)'; true"
    return {node: cluster.on(node, look).split() for node in (HEAD, WORKER)}


def completed(report: dict[str, Any]) -> int:
    """The tokens of a completion by this machine."""
    body = {"model": report["model"], "prompt": "Hello", "max_tokens": 8}
    request = urllib.request.Request(
        report["endpoint"] + "/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as reply:
        tokens = json.load(reply)["usage"]["completion_tokens"]
    assert isinstance(tokens, int)
    return tokens


def metrics(report: dict[str, Any]) -> Look:
    """What /metrics counts, by vLLM's names."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(report["endpoint"].removesuffix("/v1") + "/metrics", timeout=60) as reply:
        found = parse(reply.read().decode())
    assert found is not None
    return found


def test_from_an_inventory_to_a_completion_and_back(sglang: Cluster, tmp_path: Path) -> None:
    wrong = sglang.changed(tmp_path / "wrong.yaml")
    value = yaml.safe_load(wrong.inventory.read_text())
    value["services"]["m2"]["arguments"]["max-sequences"] = 3
    wrong.inventory.write_text(yaml.safe_dump(value))
    error = wrong.error("up", code=3)
    assert error["code"] == "arguments-refused"
    assert "unrecognized arguments: --max-sequences 3" in error["message"]
    assert sglang.traces() == {}, "SGLang's own parser refused it before anything was started"

    try:
        report = json.loads(sglang.up("--json").stdout)
        assert len(report["changes"]) == 2
        before = pids(sglang)
        assert completed(report) == 8
        status = json.loads(sglang.run("status", "--deep", "--json").stdout)
        assert status["healthy"] is True
        assert [node["ranks"] for node in status["nodes"]] == [1, 1]
        log = sglang.run("logs", "sglang", WORKER, "--all").stdout
        assert "TP1] Load weight end" in log
        assert metrics(report)["generation_tokens_total"] >= 8
        checks = ("running.environment", "fabric.interfaces", "runtime.versions")
        chosen = [word for check in checks for word in ("--check", check)]
        findings = json.loads(sglang.run("doctor", "--json", *chosen).stdout)["findings"]
        assert {(f["check"], f["severity"]) for f in findings} == {(c, "OK") for c in checks}
        assert sglang.up().stdout.startswith("no changes")
        assert pids(sglang) == before
        for node in (HEAD, WORKER):
            sglang.on(node, f"ln ~/.sparkctl/sglang/logs/*/sglang.log {KEPT}")
    finally:
        steps = sglang.run("down", "--break-lock").stderr
    assert "stop SGLang" in steps, "rank 0 was asked to end before all others"
    assert pids(sglang) == {HEAD: [], WORKER: []}
    assert sglang.traces() == {}
    ended = sglang.on(HEAD, f"cat {KEPT}")
    assert "ready to roll" in ended
    assert not re.search(r"SIGQUIT|Scheduler hit an exception|Traceback", ended)
    for node in (HEAD, WORKER):
        sglang.on(node, f"rm -f {KEPT}")
