"""vLLM over mp on two nodes: from an inventory to a completion, a rank's death, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.lab.examine import examine
from tests.lab.guarded import status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.cluster import Cluster

pytestmark = [pytest.mark.lab, pytest.mark.serving, pytest.mark.usefixtures("downed")]
ONE, TWO = "spark-1", "spark-2"
RANKS = "pgrep -f '[V]LLM::Worker'; true"


@pytest.fixture
def mp(cluster: Cluster, tmp_path: Path) -> Cluster:
    """The lab's own model, without Ray; it compiles nothing."""
    vllm = yaml.safe_load(cluster.inventory.read_text())["vllm"]
    arguments = {**vllm["arguments"], "enforce-eager": True}
    return cluster.changed(tmp_path / "mp.yaml", vllm={"executor": "mp", "arguments": arguments})


def found(cluster: Cluster, look: str) -> dict[str, list[str]]:
    return {node: cluster.on(node, look).split() for node in (ONE, TWO)}


def test_both_ranks_serve_are_replaced_together_and_end(mp: Cluster) -> None:
    assert len(json.loads(mp.up("--json").stdout)["changes"]) == 2
    before = found(mp, RANKS)
    assert [len(pids) for pids in before.values()] == [1, 1]
    shown = status(mp)
    assert shown["vllm"]["tokens"] >= 1
    assert [node["ranks"] for node in shown["nodes"]] == [1, 1]
    assert mp.up().stdout.startswith("no changes")
    assert found(mp, RANKS) == before
    assert "Application startup complete" in mp.run("logs", "vllm", "--all").stdout
    assert "headless" in mp.run("logs", "vllm", TWO, "--all").stdout
    assert examine(mp.inventory)[0] == set()

    mp.on(TWO, f"kill -9 {before[TWO][0]}")
    changes = json.loads(mp.run("up", "--dry-run", "--json").stdout)["changes"]
    assert [change["node"] for change in changes] == [ONE, TWO]
    mp.run("down")
    assert mp.traces() == {}
