"""The facts and the checks of containers, on nodes with a real dockerd and a real podman."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sparkctl.cli.context import open_session
from sparkctl.facts.containers import Containers
from sparkctl.facts.groups import Runtime
from sparkctl.facts.unread import Unread
from sparkctl.lab import lab as labs
from sparkctl.lab.containers.engines import DOCKER_SOCKET, UID, USER
from sparkctl.lab.containers.image import NAME
from sparkctl.node.images import FOLDER
from sparkctl.runtimes import container
from tests.lab.cluster import Cluster
from tests.lab.test_containers import BOXES, up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.facts.node import NodeFacts

pytestmark = pytest.mark.lab
ONE = "spark-1"
# What the lab cannot give a container of a login that is not root (lab/containers/oci_runtime.py).
CLAMPED = ("container.memlock", "memlock-limit")


@pytest.fixture(scope="module")
def lab() -> Iterator[Cluster]:
    """Two nodes with both engines."""
    made = up(2, "both")
    yield Cluster(made, made.inventory)
    labs.down(BOXES)


@pytest.fixture
def boxes(lab: Cluster, tmp_path: Path) -> Cluster:
    """The same, with the service in docker's containers and a login that is in group docker."""
    return within(lab, tmp_path / "docker.yaml", USER, "docker")


def within(lab: Cluster, file: Path, user: str, tool: str) -> Cluster:
    value = yaml.safe_load(lab.inventory.read_text())
    value["ssh"]["user"] = user
    value["runtime"] = {"image": NAME, "tool": tool}
    file.write_text(yaml.safe_dump(value))
    return replace(lab, inventory=file)


def facts(cluster: Cluster) -> NodeFacts:
    """The first node's."""
    with open_session(cluster.inventory, read_only=True) as session:
        return session.facts[ONE]


def found(cluster: Cluster, *, code: int = 0) -> set[tuple[str, str]]:
    """(check, code) of each FAIL, WARN and CRASH of the checks of containers on the first node."""
    argv = ("doctor", ONE, "--check", "container", "--json")
    findings: list[dict[str, Any]] = json.loads(cluster.run(*argv, code=code).stdout)["findings"]
    bad = [f for f in findings if f["severity"] in ("FAIL", "WARN", "CRASH")]
    return {(f["check"], f["code"]) for f in bad if f["node"] == ONE} - {CLAMPED}


@pytest.mark.parametrize(
    ("user", "tool", "rootless"),
    [(USER, "docker", False), ("root", "docker", False), ("root", "podman", False)],
)
def test_the_probe_of_an_engine_and_of_its_image(
    lab: Cluster, tmp_path: Path, user: str, tool: str, rootless: bool
) -> None:
    cluster = within(lab, tmp_path / "i.yaml", user, tool)
    known = facts(cluster)
    assert known.gaps == {}
    assert isinstance(known.containers, Containers)
    engine = known.containers.engines[tool]
    assert engine.version
    assert (engine.problem, engine.rootless) == ("", rootless)
    assert isinstance(known.runtime, Runtime)
    assert engine.image
    assert (known.runtime.image, known.runtime.id) == (NAME, engine.image.id)
    assert {"ray", "vllm", "torch"} <= {*known.runtime.versions}
    assert known.runtime.programs["vllm"]
    assert known.runtime.libibverbs
    assert known.runtime.libibverbs.path
    file = f"{engine.image.id.removeprefix('sha256:')}.json"
    lab.on(ONE, f'sed -i \'s/"ray": "[^"]*/"ray": "kept/\' ~/{FOLDER}/{file}', user=user)
    again = facts(cluster).runtime
    assert isinstance(again, Runtime)
    assert again.versions["ray"] == "kept", "it was read from the image again"
    lab.on(ONE, f"rm ~/{FOLDER}/{file}", user=user)


def test_an_engine_of_another_login_has_its_own_images(lab: Cluster, tmp_path: Path) -> None:
    known = facts(within(lab, tmp_path / "i.yaml", USER, "podman"))
    assert isinstance(known.containers, Containers)
    engine = known.containers.engines["podman"]
    assert (engine.rootless, engine.image, engine.problem) == (True, None, "")
    assert isinstance(known.runtime, Runtime)
    assert not known.runtime.exists


@pytest.mark.parametrize("tool", ["docker", "podman"])
def test_what_a_container_has_is_looked_at_inside(lab: Cluster, tmp_path: Path, tool: str) -> None:
    """In a new one with the service's flags, and in the service's own, which has lost the GPU."""
    cluster = within(lab, tmp_path / "i.yaml", "root", tool)
    assert found(cluster) == set()
    unit = f"vllm/0/container/{ONE}"
    made = container.Container(
        container.name("lab", unit),
        NAME,
        ("sleep", "60"),
        container.labels("lab", unit, 0, "i"),
        flags={"network": "host"},
    )
    lab.on(ONE, shlex.join(container.start(container.TOOLS[tool], made)))
    assert found(cluster, code=3) == {
        ("container.gpu", "no-gpu"),
        ("container.rdma", "uverbs-hidden"),
        ("container.memlock", "memlock-limit"),
        ("container.leftovers", "leftover-container"),
    } - {CLAMPED}
    lab.on(ONE, f"{tool} kill {made.name} && {tool} rm {made.name}")


def test_containers_that_take_the_gpu_and_those_that_are_left(boxes: Cluster) -> None:
    run = "docker run --detach --network host --entrypoint sleep --gpus all"
    labels = f"--label sparkctl.cluster=lab --label sparkctl.user={UID}"
    for more in (
        "--name foreign --memory 1g --restart always",
        f"--name left --label sparkctl.unit=vllm/0/container/spark-1 {labels}",
    ):
        boxes.on(ONE, f"{run} {more} {NAME} infinity", user=USER)
    assert found(boxes, code=3) == {
        ("container.foreign", "foreign-container"),
        ("container.memory", "memory-limit"),
        ("container.restart", "restart-policy"),
        ("container.leftovers", "leftover-container"),
    }
    boxes.on(ONE, "docker rm --force foreign left", user=USER)
    assert found(boxes, code=3) == set()


def test_an_engine_that_the_login_cannot_use(boxes: Cluster) -> None:
    boxes.on(ONE, f"chmod 600 {DOCKER_SOCKET}")
    assert found(boxes, code=3) == {("container.engine", "engine-unusable")}
    assert kind(boxes) == ("denied", "denied")
    boxes.on(ONE, "kill $(pidof dockerd); while pidof dockerd; do sleep 0.05; done")
    assert found(boxes, code=3) == {("container.engine", "engine-unusable")}
    assert kind(boxes) == ("stopped", "failed")


def kind(cluster: Cluster) -> tuple[str, str]:
    """Why docker cannot be used, and the image not be read."""
    known = facts(cluster)
    assert isinstance(known.containers, Containers)
    assert isinstance(known.runtime, Unread)
    return known.containers.engines["docker"].problem, known.runtime.kind
