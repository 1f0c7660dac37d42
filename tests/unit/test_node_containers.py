"""What a node makes of docker's and podman's output, in the words that they really print."""

from __future__ import annotations

import json
import os
import shlex
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.containers import Containers
from sparkctl.node import containers, enginejson
from sparkctl.node.subprocesses import Started, start
from tests.unit.enginestub import CAPTURED, IMAGE, install

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DENIED = (
    "permission denied while trying to connect to the Docker daemon socket at "
    "unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: permission denied"
)
STOPPED = "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the daemon running?"
# Of docker 29.
STOPPED_29 = (
    "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is "
    "correct and if the daemon is running: dial unix: connect: no such file or directory"
)


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs, with no container engine yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(containers, "SECONDS", 3.0)
    return tmp_path


def asked(*tools: str, image: str = "vllm/x") -> Any:
    answer = containers.containers(image, tools)
    assert Containers.model_validate(json.loads(json.dumps(answer)))
    return answer["engines"]


@pytest.mark.parametrize(
    ("tool", "version", "digests"),
    [("docker", "20.10.24+dfsg1", 0), ("podman", "4.3.1", 1)],
)
def test_an_engines_image_and_containers(bin_: Path, tool: str, version: str, digests: int) -> None:
    install(bin_, tool)
    found = asked(tool)[tool]
    assert (found["version"], found["problem"]) == (version, "")
    assert found["rootless"] is (tool == "podman" and os.getuid() != 0)
    assert (found["image"]["id"], found["image"]["architecture"]) == (IMAGE, "amd64")
    assert len(found["image"]["digests"]) == digests
    rows = {row["name"]: row for row in found["containers"]}
    ours, always, done = rows["ours"], rows["always"], rows["done"]
    assert (ours["cluster"], ours["image"]) == ("lab", IMAGE)
    assert (ours["gpu"], ours["memory"], ours["restart"]) == (True, 104857600, "no")
    assert ours["state"] == "running"
    assert ours["pid"] > 0
    assert (always["gpu"], always["restart"], always["cluster"]) == (False, "always", None)
    assert (done["state"], done["pid"]) == ("exited", 0)


@pytest.mark.parametrize(
    ("tool", "changed", "problem", "reason"),
    [
        ("docker", {"about": f"echo '{DENIED}' >&2; exit 1"}, "denied", DENIED),
        ("docker", {"about": f"echo '{STOPPED}' >&2; exit 1"}, "stopped", STOPPED),
        ("docker", {"about": f"echo '{STOPPED_29}' >&2; exit 1"}, "stopped", STOPPED_29),
        # 20.10 puts it into its JSON.
        (
            "docker",
            {"about": f"""echo '{{"ServerErrors": ["{DENIED}"]}}'; echo 'errors' >&2; exit 1"""},
            "denied",
            DENIED,
        ),
        ("docker", {"inspect": f"echo '[]'; echo '{STOPPED}' >&2; exit 1"}, "stopped", STOPPED),
        ("docker", {"image": "echo '[]'; echo 'disk is bad' >&2; exit 1"}, "failed", "disk is bad"),
        ("docker", {"about": "echo no JSON"}, "failed", "docker is not understood: no JSON"),
        ("podman", {"ps": "echo 'Error: no subuid ranges' >&2; exit 125"}, "failed", "subuid"),
        ("podman", {"inspect": "echo '[1]'"}, "failed", "expected an object"),
    ],
)
def test_why_an_engine_cannot_be_used(
    bin_: Path, tool: str, changed: dict[str, str], problem: str, reason: str
) -> None:
    install(bin_, tool, **changed)
    found = asked(tool)[tool]
    assert (found["problem"], found["containers"]) == (problem, [])
    assert reason in found["reason"]


def test_an_absent_engine_hides_no_other_and_a_hanging_one_is_stopped(
    bin_: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bin_, "podman")
    assert {n: e["problem"] for n, e in asked("docker", "podman").items()} == {
        "docker": "absent",
        "podman": "",
    }
    install(bin_, "docker", about="exec /bin/sleep 1000")
    monkeypatch.setattr(containers, "SECONDS", 0.3)
    assert asked("docker")["docker"]["problem"] == "stopped"


def test_a_daemon_that_hangs_leaves_no_program(bin_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "SECONDS", 0.2)
    started: list[Started] = []

    def noted(argv: Sequence[str]) -> Started:
        started.append(start(argv))
        return started[-1]

    monkeypatch.setattr(containers, "start", noted)
    hangs = "/bin/sleep 1000; :"
    install(bin_, "docker", about=hangs, ps=hangs, image=hangs)
    assert asked("docker")["docker"]["problem"] == "stopped"
    assert [isinstance(s.process, Popen) and s.process.wait(10) for s in started] == [-9] * 3


def test_an_engines_long_line_is_cut(bin_: Path) -> None:
    install(
        bin_, "docker", about="/usr/bin/head -c 200000 /dev/zero | /usr/bin/tr '\\0' x >&2; exit 1"
    )
    assert asked("docker")["docker"]["reason"] == "x" * 500


def test_podman_called_docker_is_no_docker(bin_: Path) -> None:
    install(bin_, "docker", about="""echo '{"host": {}, "store": {}}'""")
    assert asked("docker")["docker"]["problem"] == "absent"


def test_an_image_that_is_not_there_is_none(bin_: Path) -> None:
    for tool, text in (
        ("docker", "Error response from daemon: no such image: x: No such image: x:latest"),
        ("podman", "Error: inspecting object: x: image not known"),
    ):
        install(bin_, tool, image=f"echo '[]'; echo '{text}' >&2; exit 1")
        found = asked(tool)[tool]
        assert (found["problem"], found["image"], len(found["containers"])) == ("", None, 3)


def test_a_container_that_is_gone_by_now_hides_no_other(bin_: Path) -> None:
    rows = shlex.quote(json.dumps(CAPTURED["docker"]["containers"][:1]))
    gone = f"echo {rows}; echo 'Error response from daemon: No such container: x' >&2; exit 1"
    install(bin_, "docker", inspect=gone)
    assert [row["name"] for row in asked("docker")["docker"]["containers"]] == ["ours"]


def test_nothing_is_run_for_a_virtual_environment(
    bin_: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(bin_, "docker")
    monkeypatch.setattr(containers, "start", None)
    assert asked() == {}


def test_docker_is_rootless_by_its_security_options() -> None:
    about = {"ServerVersion": "28.3.0", "SecurityOptions": ["name=seccomp", "name=rootless"]}
    assert enginejson.about("docker", json.dumps(about)).rootless is True


def one(row: dict[str, Any]) -> Any:
    (found,) = enginejson.containers(json.dumps([row]))
    return found


@pytest.mark.parametrize(
    ("host", "config", "gpu"),
    [
        # docker 28 with --device nvidia.com/gpu=all.
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=0"]}]}, {}, True),
        ({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["x.com/net=0"]}]}, {}, False),
        ({"Runtime": "nvidia"}, {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}, True),
        ({"Runtime": "nvidia"}, {"Env": ["NVIDIA_VISIBLE_DEVICES=void"]}, False),
        ({"Runtime": "runc"}, {"Env": ["NVIDIA_VISIBLE_DEVICES=all"]}, False),  # of the image
        ({"Devices": [{"PathOnHost": "/dev/nvidia0"}]}, {}, True),
        ({"Devices": None, "DeviceRequests": "x"}, {"CreateCommand": None, "Env": [3]}, False),
    ],
)
def test_who_has_the_gpu(host: dict[str, Any], config: dict[str, Any], gpu: bool) -> None:
    row = {"Id": "1", "Image": "2", "HostConfig": host, "Config": config}
    assert one(row)["gpu"] is gpu


def test_another_users_names_are_data_from_a_stranger() -> None:
    labels = {"sparkctl.cluster": "a\nb\x1b" + "x" * 2000, "sparkctl.unit": 3}
    row = {"Id": "1", "Image": "2", "Name": "/", "Config": {"Labels": labels}}
    found = one(row)
    assert found["cluster"].startswith("a?b?x")
    assert len(found["cluster"]) == enginejson.LONGEST
    assert (found["unit"], found["name"], found["state"]) == (None, "unnamed", "unknown")


def test_what_the_mounts_name_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    names = ("~/x", "~/y", "~/x/y", "~/dangling", "~/loop")
    answer: Any = containers.containers("", (), names)
    found = Containers.model_validate(json.loads(json.dumps(answer))).mounts
    assert [*found.values()] == ["", "absent", "absent", "absent", "failed"]
