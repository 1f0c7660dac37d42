"""The recipe on imitated Sparks: from the model's directory, and from a hub cache of each node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.cluster import Cluster

pytestmark = pytest.mark.lab

QWEN = "Qwen/Qwen3-0.6B"
CACHE = "/root/recipes"
SMALL = {"gpu-memory-utilization": 0.01}  # other tests take memory meanwhile: plan's checks see it
RECIPE_FLAGS = (
    "--trust-remote-code",
    "--tool-call-parser",
    "--kv-cache-dtype",
    "--compilation-config",
)


def plan(cluster: Cluster) -> tuple[dict[str, Any], list[str]]:
    """`plan --json`: the recipe, and the head's vLLM command line."""
    document = json.loads(cluster.run("plan", "--json").stdout)
    return document["recipe"], document["nodes"]["spark-1"]["vllm"]


@pytest.fixture
def hub(cluster: Cluster, tmp_path: Path) -> Iterator[Cluster]:
    """The lab with a model on the hub, and a hub cache in another folder on each node."""
    yield cluster.changed(
        tmp_path / "i.yaml",
        vllm={"model": QWEN, "arguments": SMALL},
        env={"set": {"HF_HOME": f"{CACHE}/${{NODE}}"}},
    )
    cluster.on("spark-1", f"rm -rf {CACHE}")


def cached(cluster: Cluster, architecture: str) -> None:
    base = f"{CACHE}/spark-1/hub/models--{QWEN.replace('/', '--')}"
    config = json.dumps({"architectures": [architecture]})
    cluster.on(
        "spark-1",
        f"mkdir -p {base}/refs {base}/snapshots/c0ffee && printf c0ffee > {base}/refs/main"
        f" && printf '{config}' > {base}/snapshots/c0ffee/config.json",
    )


def test_the_labs_model_has_its_recipe(cluster: Cluster) -> None:
    recipe, argv = plan(cluster)
    assert recipe["name"] == "minimax-m2"
    assert recipe["why"].endswith("/config.json names MiniMaxM2ForCausalLM")
    assert set(RECIPE_FLAGS) < set(argv)
    assert f"# recipe minimax-m2: {recipe['why']}\n" in cluster.run("plan").stdout


def test_a_hub_model_that_is_not_on_the_head_has_none(hub: Cluster) -> None:
    recipe, argv = plan(hub)
    why = f"{QWEN} is not in the hub cache {CACHE}/spark-1/hub"
    assert recipe == {"name": None, "why": why}
    assert not set(RECIPE_FLAGS) & set(argv)
    document = json.loads(hub.run("doctor", "--json", "--check", "model.recipe").stdout)
    (finding,) = document["findings"]
    assert (finding["severity"], finding["node"]) == ("INFO", "spark-1")
    assert recipe["why"] in finding["summary"]


def test_a_hub_model_has_that_of_the_architecture_in_the_heads_cache(hub: Cluster) -> None:
    cached(hub, "Qwen3ForCausalLM")
    recipe, argv = plan(hub)
    assert recipe["name"] is None
    assert "none is known for Qwen3ForCausalLM" in recipe["why"]
    assert not set(RECIPE_FLAGS) & set(argv)
    cached(hub, "MiniMaxM2ForCausalLM")
    recipe, argv = plan(hub)
    assert recipe["name"] == "minimax-m2"
    assert set(RECIPE_FLAGS) - set(argv) == {"--trust-remote-code"}


def test_a_model_under_the_home_is_where_vllm_opens_it(cluster: Cluster, tmp_path: Path) -> None:
    model = cluster.changed(tmp_path / "i.yaml", vllm={"model": "~/model"})
    source = cluster.lab.base / "model"
    for name in ("spark-1", "spark-2"):
        cluster.on(name, f"ln -sfn {source} ~/model")
    try:
        recipe, argv = plan(model)
        checked = model.run("doctor", "--json", "--passive", "--check", "model").stdout
    finally:
        for name in ("spark-1", "spark-2"):
            cluster.on(name, "rm -f ~/model")
    assert argv[2] == "/root/model"
    assert recipe["name"] == "minimax-m2"
    assert {f["severity"] for f in json.loads(checked)["findings"]} == {"OK"}
