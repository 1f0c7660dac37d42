"""Containers on the lab's nodes, before any is started: the image, the runtime's edits, choices."""

from __future__ import annotations

import io
import json
import resource
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sparkctl.engines.inventory import parse
from sparkctl.lab import inventory
from sparkctl.lab.containers import image, oci_runtime, tools
from sparkctl.lab.node import PATH
from sparkctl.lab.spec import NodeSpec
from tests.refused import refused


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with merged /usr, and a virtual environment whose interpreter is elsewhere."""
    for name in ("usr/bin", "usr/lib", "usr/local/bin", "etc/ssl", "opt/py/bin", "opt/venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("bin", "lib"):
        (tmp_path / name).symlink_to(f"usr/{name}")
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (tmp_path / "opt/py/bin/python").touch()
    (tmp_path / "opt/venv/bin/python").symlink_to(tmp_path / "opt/py/bin/python")
    return tmp_path


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {m.name: tar.extractfile(m) for m in tar.getmembers() if m.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def test_the_image_names_the_machines_folders_and_the_interpreters(machine: Path) -> None:
    made = image.archive(machine, machine / "opt/venv")
    assert made == image.archive(machine, machine / "opt/venv"), "each node's has the same Id"
    outer = members(made)
    (entry,) = json.loads(outer["manifest.json"])
    layer = members(outer[entry["Layers"][0]])
    listed = layer[oci_runtime.MOUNTS].decode().split()
    assert listed == ["/etc/ssl", "/opt/py", "/opt/venv", "/usr/bin", "/usr/lib"]
    assert layer["etc/passwd"].startswith(b"root:")
    own = machine / "opt/venv/bin/python"
    own.unlink()
    own.symlink_to(machine / "usr/bin/python")  # the distribution's, whose folders are there
    folders = [
        str(path.relative_to(machine)) for path in image.folders(machine, machine / "opt/venv")
    ]
    assert folders == ["etc/ssl", "opt/venv", "usr/bin", "usr/lib"]
    config = json.loads(outer[entry["Config"]])["config"]
    assert config["Env"] == [f"PATH={machine}/opt/venv/bin:{image.PATH}"]


def test_the_runtime_mounts_the_image_first_and_the_gpu_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci_runtime, "_raises_limits", lambda: False)
    (tmp_path / "rootfs/etc/sparkctl-lab").mkdir(parents=True)
    (tmp_path / "rootfs" / oci_runtime.MOUNTS).write_text("/usr/lib\n")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    config: dict[str, Any] = {
        "root": {"path": "rootfs"},
        "process": {
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2**64 - 1, "hard": 2**64 - 1}],
            "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_IPC_LOCK"]},
            "oomScoreAdj": -500,
        },
        "mounts": [
            {"destination": "/sys", "type": "sysfs", "source": "sysfs"},
            {"destination": "/model", "type": "bind", "source": "/model"},
        ],
        "hooks": {"prestart": [{"path": f"/usr/bin/{oci_runtime.GPU_HOOK}"}]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    oci_runtime.edit(["--root", "/run/x", "create", "--bundle", str(tmp_path), "box"])
    edited = json.loads((tmp_path / "config.json").read_text())
    sources = [each["source"] for each in edited["mounts"]]
    assert sources == ["/usr/lib", "/sys", "/model", oci_runtime.NVIDIA_SMI]
    process = edited["process"]
    assert process["rlimits"][0]["hard"] == (most if most >= 0 else 2**64 - 1)
    assert process["capabilities"] == {"bounding": ["CAP_IPC_LOCK"]}
    assert process["oomScoreAdj"] == 0


def test_a_choice_and_what_it_needs() -> None:
    assert tools.chosen(None) == ()
    assert tools.chosen("both") == ("docker", "podman")
    with refused("lab-containers-unknown"):
        tools.chosen("rkt")
    with refused("lab-containers-missing") as caught:
        tools.require(("podman",), "/nowhere")
    assert caught.value.data["packages"] == ["catatonit", "conmon", "podman", "runc"]
    tools.require((), PATH)


def test_the_inventory_names_what_of_the_containers_is_imitated() -> None:
    nodes = [NodeSpec(1, Path("/lab"), "10.77.0")]
    text = inventory.text(nodes, base=Path("/lab"), runtime=Path("/v"), containers=("docker",))
    named = parse(text.encode(), "inventory.yaml").imitated
    assert len(named) == 9
    assert any("limits are clamped" in what for what in named)
