"""`image sync` between real docker and podman: over the fabric, and nothing stays when it fails."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.containers.engines import USER
from sparkctl.node import containertools
from tests.lab.cluster import BASE, Cluster, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.lab
IMAGES = BASE.with_name(BASE.name + "-images")
NAME = "lab/big:1"  # podman has it as docker.io/lab/big:1
SIZE = 50_000_000
MAKE = (
    f"head -c {SIZE} /dev/urandom >/tmp/r && tar -C /tmp -c r | docker import - {NAME}; rm /tmp/r"
)
# What a transfer leaves if it leaves anything: processes, files, a port on the fabric.
LOOK = """\
ps -eo args | grep -E '[d]ocker (save|load)|[p]odman (save|load)|[i]mport json, sys, types'
find /var/tmp /tmp /var/lib/docker/tmp -mindepth 1 -not -path '/tmp/sparkctl-lab*'
ss -Htln | grep -F 192.168.; true"""
# An export that becomes slow on its way.
SLOW = """\
#!/usr/bin/python3 -IS
import os, subprocess, sys, time
if sys.argv[1] != "save":
    os.execv("/usr/bin/docker", sys.argv)
full = subprocess.Popen(["/usr/bin/docker", *sys.argv[1:]], stdout=subprocess.PIPE)
for count in range(1000):
    os.write(1, full.stdout.read(200000))
    time.sleep(0.1 * (count > 100))
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    """Two nodes with both engines; spark-1 has an image of random bytes in docker."""
    cache = cache_folder()
    made = labs.up(2, IMAGES, cache / "runtime", cache / "lab", model=False, containers="both")
    cluster = Cluster(made, made.inventory)
    cluster.on("spark-1", MAKE)
    yield cluster
    labs.down(IMAGES)


@pytest.fixture
def docker(nodes: Cluster, tmp_path: Path) -> Cluster:
    """A service in docker, by a user who is only in the group docker."""
    value = yaml.safe_load(nodes.inventory.read_text())
    value["ssh"]["user"] = USER
    return written(nodes, tmp_path, {**value, "runtime": {"image": NAME, "tool": "docker"}})


def written(cluster: Cluster, folder: Path, value: dict[str, Any]) -> Cluster:
    """The cluster by this inventory."""
    path = folder / "inventory.yaml"
    path.write_text(yaml.safe_dump(value))
    return replace(cluster, inventory=path)


def image(cluster: Cluster, node: str, tool: str = "docker") -> str:
    """The Id by the name."""
    name = containertools.reference(tool, NAME)
    found = cluster.on(node, f"{tool} image inspect -f '{{{{.Id}}}}' {name} || true")
    return found.strip().removeprefix("sha256:")


def received(cluster: Cluster) -> int:
    """The bytes that came over spark-2's fabric."""
    ports = "/sys/class/net/enp*/statistics/rx_bytes"
    return sum(map(int, cluster.on("spark-2", f"cat {ports}").split()))


def traces(cluster: Cluster) -> list[str]:
    """What is left on both nodes, once the engines' daemons have cleaned up."""
    deadline = time.monotonic() + 10
    while True:
        found = [line for n in cluster.lab.nodes for line in cluster.on(n.name, LOOK).splitlines()]
        if not found or time.monotonic() > deadline:
            return found


def synced(cluster: Cluster, *args: str, code: int = 0) -> dict[str, Any]:
    """The image of the JSON document."""
    document = json.loads(cluster.run("image", "sync", *args, "--json", code=code).stdout)
    (found,) = document["images"]
    assert document["changed"] == bool(found["copied"])
    return dict(found)


def test_an_image_is_copied_over_the_fabric_once(docker: Cluster) -> None:
    before = received(docker)
    found = synced(docker)
    assert found["copied"]["spark-2"]["bytes"] >= SIZE
    assert received(docker) - before >= SIZE
    assert found["id"] == f"sha256:{image(docker, 'spark-2')}"
    again = docker.run("image", "sync")
    assert again.stdout.startswith("nothing to do: spark-1, spark-2 have")
    assert docker.run("image", "list").stdout.count(image(docker, "spark-1")[:12]) == 2
    assert traces(docker) == []


def test_of_two_images_one_must_be_named_and_the_other_stays(docker: Cluster) -> None:
    old = image(docker, "spark-2")
    docker.on("spark-1", MAKE)
    assert {*synced(docker, code=1)["codes"].values()} == {"image-ambiguous"}
    done = docker.run("image", "sync", "--from", "spark-1")
    assert f"image {old[:12]}, which was {NAME} before, stays without a name" in done.stderr
    assert image(docker, "spark-2") == image(docker, "spark-1") != old
    assert old[:12] in docker.on("spark-2", "docker images --quiet --filter dangling=true")


def test_docker_to_podman_where_there_is_room(nodes: Cluster, tmp_path: Path) -> None:
    services = {
        f"s{i}": {
            "model": "/m",
            "tensor_parallel_size": 1,
            "nodes": [f"spark-{i}"],
            "runtime": {"image": NAME, "tool": tool},
        }
        for i, tool in ((1, "docker"), (2, "podman"))
    }
    value = yaml.safe_load(nodes.inventory.read_text())
    del value["vllm"], value["nodes"][1]["role"]
    both = written(nodes, tmp_path, {**value, "services": services})
    nodes.on("spark-2", "mount -t tmpfs -o size=30m tmpfs /var/tmp")
    try:
        before = received(nodes)
        found = synced(both, code=1)
        assert found["codes"] == {"spark-2": "image-no-room"}
        assert "/var/tmp has 31 MB free, 50 MB are needed" in found["failed"]["spark-2"]
        assert received(nodes) - before < SIZE, "nothing was sent"
    finally:
        nodes.on("spark-2", "umount /var/tmp")
    assert [*synced(both)["copied"]] == ["spark-2"]
    assert image(nodes, "spark-2", "podman") == image(nodes, "spark-1")
    assert "localhost/lab" not in nodes.on("spark-2", "podman images"), "it has one name"
    assert traces(nodes) == []


@pytest.fixture
def slow(docker: Cluster) -> Iterator[Cluster]:
    """The image has to be copied, and its export is slow from its 20th MB on."""
    path = "/usr/local/bin/docker"
    docker.on("spark-2", f"docker image rm --force {NAME} >&2")
    docker.on("spark-1", f"cat >{path} <<'END'\n{SLOW}END\nchmod 755 {path}")
    yield docker
    docker.on("spark-1", f"rm {path}")


def under_way(cluster: Cluster) -> subprocess.Popen[str]:
    process, _ = until(cluster, "of 50 MB", "image", "sync", "--break-lock")
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_stays_when_the_controller_ends(
    slow: Cluster, number: signal.Signals, code: int
) -> None:
    process = under_way(slow)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code
    assert traces(slow) == []
    assert image(slow, "spark-2") == ""


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (f"pkill -KILL -u {USER} sshd", "connection lost while receive"),
        ("kill -9 $(cat /run/docker.pid)", "docker cannot load"),  # the last test: it stays dead
    ],
)
def test_a_node_or_a_daemon_that_is_lost_is_named(slow: Cluster, command: str, error: str) -> None:
    process = under_way(slow)
    slow.on("spark-2", command)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"error: spark-2: {error}" in err
    if "sshd" in command:
        assert traces(slow) == []
