"""A model over two nodes in docker, by a login that is only in its group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.containers.engines import USER
from sparkctl.lab.containers.image import NAME
from tests.lab.cluster import BASE, Cluster
from tests.lab.examine import examine
from tests.lab.guarded import status
from tests.lab.test_contained import CACHES, IGNORED, NODES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.serving]
BOXED = BASE.with_name(BASE.name + "-served")
# Of each rank: its title, its account and what NCCL reads; the files that its container added.
LOOK = """\
for p in $(pgrep -f 'ray::[R]ayWorker|VLLM::[W]orker'); do
    grep -qz VLLM_HOST_IP /proc/$p/environ || continue
    stat -c %U /proc/$p; tr '\\0' '\\n' < /proc/$p/environ | grep ^NCCL_
done
"""
LEFT = "docker ps --all --quiet; find ~/.sparkctl /tmp -mindepth 1 2>/dev/null; ls /dev/shm"


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Cluster]:
    """Nodes with docker, and a service of the lab's own image; it compiles nothing."""
    cache = cache_folder()
    made = labs.up(2, BOXED, cache / "runtime", cache / "lab", model=True, containers="docker")
    value = yaml.safe_load(made.inventory.read_text())
    value["ssh"]["user"] = USER
    value["runtime"] = {"image": NAME, "tool": "docker"}
    value["env"]["set"] = {k: v for k, v in value["env"]["set"].items() if k not in CACHES}
    value["vllm"]["arguments"]["enforce-eager"] = True
    path = tmp_path / "docker.yaml"
    path.write_text(yaml.safe_dump(value))
    yield Cluster(made, path)
    labs.down(BOXED)


def test_ray_and_vllm_serve_in_docker_and_end(docker: Cluster) -> None:
    changes = json.loads(docker.up("--json", *IGNORED).stdout)["changes"]
    assert len(changes) == 5, "a container and Ray on both nodes, vLLM on the head"
    shown = status(docker)
    assert shown["vllm"]["tokens"] >= 1
    assert [node["ranks"] for node in shown["nodes"]] == [1, 1]
    for node in NODES:
        user, *variables = docker.on(node, LOOK, user=USER).split()
        assert user == USER
        assert {"NCCL_IB_HCA=rocep1s0f0,roceP2p1s0f0", "NCCL_IB_DISABLE=0"} <= {*variables}
    assert docker.up(*IGNORED).stdout.startswith("no changes")
    assert {check for check, _, _ in examine(docker.inventory)[0]} == {
        "container.memlock",
        "running.verbs",
    }
    docker.run("down")
    assert [docker.on(node, LEFT, user=USER) for node in NODES] == ["", ""]
