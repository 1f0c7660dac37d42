"""A gang in containers of a real docker and a real podman: its life, and what may end early."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.containers.engines import USER
from sparkctl.lab.containers.image import NAME
from tests.lab.cluster import BASE, Cluster, unlocked
from tests.lab.toy.kill import KILL_AT
from tests.lab.toycluster import FOLDER, completed, install, ranks, toy_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.lab.lab import Lab

pytestmark = pytest.mark.lab
BOXED = BASE.with_name(BASE.name + "-boxed")
NODES = ("spark-1", "spark-2")
CACHES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR")  # only root can write there
# No limit can be raised on this machine, and a login that is not root has no capability instead.
IGNORED = ("--ignore-check", "container.memlock")
NOTHING = "/no/such"  # a path that no node has
FOREIGN = "foreign"  # a container of somebody else
DEAD = "kill -9 $(pgrep -x dockerd); while pgrep -x dockerd; do sleep 0.05; done"
ALIVE = "setsid dockerd > /var/log/dockerd.log 2>&1 & until docker version; do sleep 0.05; done"


@pytest.fixture(scope="module")
def boxed() -> Iterator[Lab]:
    """Two nodes with both container engines and the gang's program."""
    cache = cache_folder()
    made = labs.up(2, BOXED, cache / "runtime", cache / "lab", model=False, containers="both")
    install(made)
    yield made
    labs.down(BOXED)


@dataclass(frozen=True)
class Box:
    """The gang's cluster in the containers of one engine, by the login that may use it."""

    cluster: Cluster
    tool: str
    user: str

    def on(self, node: str, command: str) -> str:
        return self.cluster.on(node, command, user=self.user)

    def containers(self, node: str) -> dict[str, str]:
        """The state of all containers of a node, by name."""
        listed = self.on(node, f"{self.tool} ps --all --format '{{{{.Names}}}} {{{{.State}}}}'")
        return dict(line.split()[:2] for line in listed.splitlines())

    def names(self) -> dict[str, str]:
        """The name of the gang's container on each node."""
        return {n: f"sparkctl.{self.cluster_name}.toy.0.container.{n}" for n in NODES}

    @property
    def cluster_name(self) -> str:
        return str(yaml.safe_load(self.cluster.inventory.read_text())["cluster"])


def box(lab: Lab, folder: Path, tool: str, user: str, number: int, **variables: str) -> Box:
    cluster = toy_cluster(lab, folder, number, **variables)
    value = yaml.safe_load(cluster.inventory.read_text())
    value["ssh"]["user"] = user
    value["runtime"] = {"image": NAME, "tool": tool, "mounts": [f"{FOLDER}:ro"]}
    value["env"]["set"] = {k: v for k, v in value["env"]["set"].items() if k not in CACHES}
    cluster.inventory.write_text(yaml.safe_dump(value))
    return Box(cluster, tool, user)


@pytest.fixture
def docker(boxed: Lab, tmp_path: Path) -> Iterator[Box]:
    """docker, by a login that is only in its group, on nodes with somebody else's container."""
    found = box(boxed, tmp_path, "docker", USER, 0)
    for node in NODES:
        run = f"docker run --detach --network host --name {FOREIGN} --volume kept:/kept"
        found.on(node, f"{run} {NAME} sleep infinity")
    yield found
    found.cluster.run("down", "--break-lock")
    for node in NODES:
        assert found.containers(node) == {FOREIGN: "running"}, "what is not ours is unharmed"
        found.on(node, f"docker rm --force {FOREIGN} && docker volume rm kept")
        left = "find ~/.sparkctl /tmp -mindepth 1 2>/dev/null; pgrep -f '[g]ang.py'; true"
        assert found.on(node, left) == ""


def up(cluster: Cluster) -> list[str]:
    """What `up` did, without the reasons."""
    found = json.loads(cluster.up("--json", *IGNORED).stdout)["changes"]
    return [change.partition(":")[0] for change in found]


ALL = [
    *(f"start container on {node}" for node in NODES),
    *(f"start toy rank {rank} on {node}" for rank, node in enumerate(NODES)),
]


def _mount_nothing(cluster: Cluster) -> None:
    value = yaml.safe_load(cluster.inventory.read_text())
    value["runtime"]["mounts"].append(NOTHING)
    cluster.inventory.write_text(yaml.safe_dump(value))


def test_a_login_in_group_docker_serves_and_leaves_nothing(docker: Box) -> None:
    cluster = docker.cluster
    assert up(cluster) == ALL
    assert completed(cluster.lab) == 2
    before = ranks(cluster)
    # An image that was made of ours has its labels, its account and its environment.
    ours = docker.names()["spark-1"]
    docker.on(
        "spark-1",
        f"docker commit {ours} kin && docker run --detach --network host --name kin kin sleep 99",
    )
    for node, pids in before.items():
        kin = {"kin": "running"} if node == "spark-1" else {}
        assert docker.containers(node) == kin | {
            FOREIGN: "running",
            docker.names()[node]: "running",
        }
        (found,) = json.loads(docker.on(node, f"docker inspect {docker.names()[node]}"))
        own: dict[str, Any] = found["Config"]["Labels"]
        assert own["sparkctl.unit"] == f"toy/0/container/{node}"
        host = found["HostConfig"]
        assert (host["Privileged"], host["RestartPolicy"]["Name"]) == (False, "no")
        look = f"stat -c %U /proc/{pids[0]}; readlink /proc/{pids[0]}/ns/pid /proc/self/ns/pid"
        user, inside, outside = docker.on(node, look).split()
        assert (user, inside == outside) == (USER, False)
    assert cluster.up(*IGNORED).stdout.startswith("no changes")
    assert ranks(cluster) == before
    assert "rank 1 joined" in cluster.run("logs", "rank", "spark-2", "--all").stdout
    _mount_nothing(cluster)
    assert cluster.error("up", *IGNORED, "--yes", code=3)["data"]["checks"] == ["container.mounts"]
    assert ranks(cluster) == before
    cluster.run("down")
    assert docker.containers("spark-1") == {FOREIGN: "running", "kin": "running"}
    docker.on("spark-1", "docker rm --force kin && docker image rm kin")
    past = ("--ignore-check", "container.mounts", "--ignore-check", "container.gpu")
    error = cluster.error("up", *IGNORED, *past)
    assert (error["code"], error["data"]["status"]) == ("container-start", 125)
    assert "container did not start: docker: " in error["message"]
    assert NOTHING in error["message"], "docker's own reason"


def test_podman_starts_is_probed_and_stops(boxed: Lab, tmp_path: Path) -> None:
    podman = box(boxed, tmp_path, "podman", "root", 1)
    assert up(podman.cluster) == ALL
    assert completed(boxed, 1) == 2
    assert podman.cluster.up(*IGNORED).stdout.startswith("no changes")
    podman.cluster.run("down")
    assert [podman.containers(node) for node in NODES] == [{}, {}]


def test_up_replaces_what_a_killed_container_took_and_a_dead_dockerd_is_named(
    docker: Box,
) -> None:
    cluster, own = docker.cluster, docker.names()["spark-2"]
    cluster.up(*IGNORED)
    docker.on("spark-2", f"docker kill {own}")
    assert docker.containers("spark-2")[own] == "exited"
    assert up(cluster) == [
        "start container on spark-2",
        "restart toy rank 0 on spark-1",
        "start toy rank 1 on spark-2",
    ]
    cluster.on("spark-2", DEAD)
    try:
        assert cluster.error("up", code=3)["data"]["checks"] == ["container.engine"]
        assert completed(cluster.lab) == 2, "the containers live"
        error = cluster.run("down", code=1).stderr
        assert "spark-2" in error
        assert "cannot remove the cluster's containers" in error
        assert ranks(cluster) == {node: [] for node in NODES}
    finally:
        cluster.on("spark-2", ALIVE)
        docker.on("spark-2", f"docker start {FOREIGN}")
    assert own in docker.containers("spark-2")
    assert up(cluster) == ALL, "what is left of a container is no hindrance"


def test_a_start_whose_laptop_died_is_taken_back_by_the_next(docker: Box) -> None:
    brief = {**docker.cluster.variables, "SPARKCTL_TEST_LEASE": "6"}
    dying = {**brief, KILL_AT: "after launch.start on spark-1"}
    process = replace(docker.cluster, variables=dying).start("up", *IGNORED)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    unlocked(replace(docker.cluster, variables=brief), "up", *IGNORED)
    assert completed(docker.cluster.lab) == 2
