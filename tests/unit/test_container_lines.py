"""The command lines of docker and podman; tests/lab/test_containers.py runs them."""

from __future__ import annotations

import pytest

from sparkctl.runtimes import container
from sparkctl.runtimes.container import DOCKER, PODMAN, Container, Image, Mount

BOX = Container(
    name="box",
    image="vllm/vllm-openai:v0.32.0",
    argv=("vllm", "serve", "/model"),
    labels=container.labels("lab", "r1", "vllm/0/engine/spark-1", "d1"),
    mounts=(Mount("/models/a,b", "/model", readonly=True),),
    environment_file="/run/box.env",
    flags=("--pids-limit", "4096"),
)


def test_the_engines_differ_in_the_gpu_and_the_images_name() -> None:
    docker, podman = container.start(DOCKER, BOX), container.start(PODMAN, BOX)
    assert [word for word in docker if word not in podman] == ["docker", "--gpus", "all", BOX.image]
    assert set(podman) - {*docker} == {"podman", "nvidia.com/gpu=all", f"docker.io/{BOX.image}"}


def test_a_start_has_labels_mounts_flags_and_no_entry_point_of_the_image() -> None:
    argv = container.start(DOCKER, BOX)
    assert "--privileged" not in argv
    assert argv[-5:] == ("--entrypoint", "vllm", BOX.image, "serve", "/model")
    assert "sparkctl.cluster=lab/r1" in argv
    assert 'type=bind,"source=/models/a,b",target=/model,readonly' in argv
    assert argv.index("--pids-limit") > argv.index("--env-file")
    assert container.name("lab", "vllm/0/engine/spark-1") == "sparkctl.lab.vllm.0.engine.spark-1"


def test_an_environment_file_is_literal_and_holds_one_line_a_value() -> None:
    text = container.env_file({"B": '{"a": "#$ \'"} ', "A": ""})
    assert text == 'A=\nB={"a": "#$ \'"} \n'
    for value in ("two\nlines", "carriage\rreturn"):
        with pytest.raises(ValueError, match=r"^KEY$"):
            container.env_file({"KEY": value})


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
    assert container.reference(PODMAN, image) == full
    assert container.reference(DOCKER, image) == image


def test_an_image_is_the_same_by_its_id_or_by_a_digest() -> None:
    assert container.same(Image("sha256:1"), Image("1"))
    assert not container.same(Image("1"), Image("2"))
    pulled = frozenset({"vllm/x@sha256:9"})
    assert container.same(Image("1", pulled), Image("2", pulled | {"own/x@sha256:8"}))


def test_a_stop_has_at_least_a_second_of_grace() -> None:
    assert container.stop(DOCKER, "box", 0.2) == ("docker", "stop", "-t", "1", "box")
