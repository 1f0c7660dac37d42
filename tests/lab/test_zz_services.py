"""Two services with real Ray and vLLM, each on a node of its own, and a node that leaves them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.guarded import status
from tests.lab.raygang import parts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.serving, pytest.mark.usefixtures("downed")]
ONE, TWO = "spark-1", "spark-2"


def written(cluster: Cluster, path: Path, *names: str) -> Cluster:
    """The lab with these nodes alone, each with a service that is called as its node."""
    value = yaml.safe_load(cluster.inventory.read_text())
    vllm = value.pop("vllm")
    eager = {**vllm["arguments"], "enforce-eager": True}  # compiles nothing
    settings = {**vllm, "tensor_parallel_size": 1, "arguments": eager}
    nodes = [{"name": n["name"], "host": n["host"]} for n in value["nodes"] if n["name"] in names]
    services = {f"on-{n}": {**settings, "served_model_name": f"m-{n}", "nodes": [n]} for n in names}
    path.write_text(json.dumps({**value, "nodes": nodes, "services": services}))
    return replace(cluster, inventory=path)


def test_two_services_run_until_one_leaves_the_inventory_and_the_other_is_ended(
    cluster: Cluster, tmp_path: Path
) -> None:
    both = written(cluster, tmp_path / "both.json", ONE, TWO)
    first = written(cluster, tmp_path / "first.json", ONE)
    assert len(json.loads(both.up("--json").stdout)["changes"]) == 4
    found = status(both)
    assert {n: s["api"]["tokens"] for n, s in found["services"].items()} == {
        "on-spark-1": 4,
        "on-spark-2": 4,
    }
    assert [node["ranks"] for node in found["nodes"]] == [1, 1]
    for name in (ONE, TWO):
        assert f"m-{name}" in both.run("logs", f"on-{name}", "--all").stdout
    run = parts(both)
    assert [len(pids) for pids in run.values()] == [4, 4]

    # A node leaves: its service is served, so it ends with consent alone; the other goes on.
    refused = first.error("up", code=2)
    assert refused["code"] == "consent-required"
    assert refused["data"]["models"] == [f"m-{TWO}"]
    changes = json.loads(first.up("--yes", "--json").stdout)["changes"]
    left = f"of on-{TWO} on {TWO}: no longer in the inventory"
    assert sorted(changes) == [f"stop Ray head {left}", f"stop vLLM {left}"]
    assert parts(both) == {ONE: run[ONE], TWO: []}
    assert both.on(TWO, "ls -d ~/.sparkctl 2>/dev/null; true") == ""

    assert first.up().stdout.startswith("no changes: m-spark-1 ")
    both.run("down", f"on-{ONE}")
    assert both.traces() == {}
