"""Two services on the lab's two nodes, as real sshds and probes answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cli.test_cli import sparkctl
from tests.lab.examine import examine

if TYPE_CHECKING:
    from pathlib import Path

    from sparkctl.lab.lab import Lab

pytestmark = pytest.mark.lab
ONE, TWO = "spark-1", "spark-2"


@pytest.fixture
def inventory(lab: Lab, tmp_path: Path) -> Path:
    """The lab's inventory with a service for each node, and no role."""
    document = yaml.safe_load(lab.inventory.read_text())
    settings = {**document.pop("vllm"), "tensor_parallel_size": 1}
    for node in document["nodes"]:
        del node["role"]
    document["services"] = {
        "chat": {**settings, "nodes": [ONE]},
        "code": {**settings, "nodes": [TWO]},
    }
    document["services"]["code"]["arguments"] = {**settings["arguments"], "api-key": "k"}
    path = tmp_path / "inventory.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_doctor_finds_both_well_and_compares_no_node_of_one_with_the_other(
    inventory: Path,
) -> None:
    wrong, snapshot = examine(inventory)
    assert wrong == set()
    assert [[n.name for n in part.nodes] for part in snapshot.parts] == [[ONE], [TWO]]
    assert snapshot.looks.peers.keys() == {ONE, TWO}
    done = sparkctl("doctor", "-i", str(inventory), "--json", "--check", "fabric.pairing")
    assert json.loads(done.stdout)["findings"] == []


def test_each_node_has_its_own_services_environment(inventory: Path) -> None:
    done = sparkctl("env", "-i", str(inventory), "--json")
    found = json.loads(done.stdout)
    assert found.keys() == {ONE, TWO}
    keys = {name: "VLLM_API_KEY" in values for name, values in found.items()}
    assert keys == {ONE: False, TWO: True}, "the key of code's API"
    one = sparkctl("env", ONE, "-i", str(inventory), "--json")
    assert json.loads(one.stdout) == {ONE: found[ONE]}
