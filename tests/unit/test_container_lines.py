"""The command lines of docker and podman; tests/lab/test_containers.py runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparkctl.node import containertools
from sparkctl.runtimes import container
from sparkctl.runtimes.container import DOCKER, PODMAN, Container, Image, Mount

if TYPE_CHECKING:
    from sparkctl.inventory.models import Argument

BOX = Container(
    name="box",
    image="vllm/vllm-openai:v0.32.0",
    argv=("vllm", "serve", "/model"),
    labels=container.labels("lab", "vllm/0/container/spark-1", 1000, "sha256:1"),
    mounts=(Mount("/models/a,b", "/model", readonly=True),),
    environment={"HOME": "/home/me", "SPARKCTL_CLUSTER": None},
    flags={"pids-limit": 4096, "init": True},
)


def test_the_engines_differ_in_the_gpu_and_the_images_name() -> None:
    docker, podman = container.start(DOCKER, BOX), container.start(PODMAN, BOX)
    assert [word for word in docker if word not in podman] == ["docker", BOX.image]
    assert set(podman) - {*docker} == {"podman", f"docker.io/{BOX.image}"}
    assert (DOCKER.gpus, PODMAN.gpus) == ({"gpus": "all"}, {"device": ["nvidia.com/gpu=all"]})


def test_a_start_has_labels_mounts_flags_and_no_entry_point_of_the_image() -> None:
    argv = container.start(DOCKER, BOX)
    assert "--privileged" not in argv
    assert argv[-5:] == ("--entrypoint=", BOX.image, "vllm", "serve", "/model")
    assert {"sparkctl.cluster=lab", "sparkctl.unit=vllm/0/container/spark-1"} <= {*argv}
    assert 'type=bind,"source=/models/a,b",target=/model,readonly' in argv
    assert argv[5:8] == ("--init", "--pids-limit", "4096")
    assert container.name("lab", "vllm/0/engine/spark-1") == "sparkctl.lab.vllm.0.engine.spark-1"


def test_a_variable_without_a_value_is_the_clients() -> None:
    argv = container.once(PODMAN, BOX)
    assert [argv[i + 1] for i, word in enumerate(argv) if word == "--env"] == [
        "HOME=/home/me",
        "SPARKCTL_CLUSTER",
    ]


def test_of_flags_a_later_value_counts_lists_are_joined_and_null_drops_one() -> None:
    own: dict[str, Argument] = {"shm-size": "32g", "init": None, "ulimit": ["nofile=9"]}
    found = container.merged({"shm-size": "64g", "init": True, "ulimit": ["a=1"]}, own)
    assert found == {"shm-size": "32g", "ulimit": ["a=1", "nofile=9"]}


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "docker.io/library/busybox"),
        ("vllm/vllm-openai:latest", "docker.io/vllm/vllm-openai:latest"),
        ("nvcr.io/nvidia/vllm:26.05-py3", "nvcr.io/nvidia/vllm:26.05-py3"),
        ("localhost/own", "localhost/own"),
        ("spark-1:5000/own", "spark-1:5000/own"),
        ("sha256:00ff", "sha256:00ff"),
    ],
)
def test_podman_gets_the_images_full_name(image: str, full: str) -> None:
    assert containertools.reference("podman", image) == full
    assert containertools.reference("docker", image) == image


def test_an_image_is_the_same_by_its_id_or_by_a_digest() -> None:
    assert container.same(Image("sha256:1"), Image("1"))
    assert not container.same(Image("1"), Image("2"))
    pulled = frozenset({"vllm/x@sha256:9"})
    assert container.same(Image("1", pulled), Image("2", pulled | {"own/x@sha256:8"}))
