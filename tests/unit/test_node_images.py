"""What an image has installed, by a docker that runs the reader on this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.groups import Runtime
from sparkctl.node import containers, containertools, images, inimage, packages, transient, verbs
from sparkctl.remote.node_rpc import reader
from tests.unit.enginestub import IMAGE, install

if TYPE_CHECKING:
    from pathlib import Path

FILE = f"{images.FOLDER}/{IMAGE.removeprefix('sha256:')}.json"
# Runs what follows --entrypoint and the image, and counts its runs.
RUN = f"""echo run >>"$HOME/runs"
while [ "$1" != --entrypoint ]; do shift; done
shift 3
exec {sys.executable} "$@\""""


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of programs, with no container engine yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(containertools, "architecture", lambda _: "amd64")  # of the captured image
    return tmp_path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def read(*tools: str) -> Any:
    engines = containers.containers("vllm/x", tools)["engines"]
    assert isinstance(engines, dict)
    program: Any = reader("inimage.read")
    found = json.loads(json.dumps(images.runtime("vllm/x", tools, engines, program, "lab")))
    assert Runtime.model_validate(found)
    return found


def runs(home: Path) -> int:
    return len((home / "runs").read_text().splitlines())


def test_an_image_is_read_by_its_own_python_and_once(bin_: Path, home: Path) -> None:
    install(bin_, "docker", run=RUN)
    found = read("docker")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (found["image"], found["id"], found["exists"]) == ("vllm/x", IMAGE, True)
    assert found["real"] == sys.prefix
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert read("docker") == found
    assert runs(home) == 1


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema": 2}', f'{{"schema": 1, "id": "{IMAGE}", "found": 1}}']
)
def test_a_kept_answer_that_is_damaged_is_read_again(bin_: Path, home: Path, text: str) -> None:
    install(bin_, "docker", run=RUN)
    (home / FILE).parent.mkdir(parents=True)
    (home / FILE).write_text(text)
    assert read("docker")["exists"] is True
    assert json.loads((home / FILE).read_text())["schema"] == 1


@pytest.mark.usefixtures("home")
def test_what_cannot_be_read_is_not_absent(bin_: Path) -> None:
    install(bin_, "docker", run="echo 'no space left' >&2; exit 127")
    with pytest.raises(OSError, match="no space left"):
        read("docker")
    install(bin_, "docker", run="echo hello")
    with pytest.raises(OSError, match="no such JSON: 'hello"):
        read("docker")
    install(bin_, "docker", about="echo 'permission denied' >&2; exit 1")
    with pytest.raises(PermissionError, match="permission denied"):
        read("docker")


@pytest.mark.parametrize("tool", ["docker", "podman"])
@pytest.mark.parametrize("run", ["exec /bin/sleep 1000", "/usr/bin/yes", "kill -9 $$"])
def test_a_container_that_hangs_or_fails_is_removed(
    bin_: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tool: str, run: str
) -> None:
    monkeypatch.setattr(images, "SECONDS", 0.3)
    monkeypatch.setattr(transient, "WAIT", 20.0)
    monkeypatch.setenv("PATH", f"{bin_}:/usr/bin:/bin")
    install(bin_, tool, run=f'echo "$@" >$HOME/line; {run}', rm='echo "$@" >$HOME/removed')
    with pytest.raises(OSError, match=r"timed out|printed more|status -9"):
        read(tool)
    line, removed = (home / "line").read_text().split(), (home / "removed").read_text().split()
    assert removed[:2] == ["rm", "--force"]
    assert removed[-1] == line[line.index("--name") + 1]
    assert removed[-1].startswith("sparkctl.lab.look.")
    assert {"sparkctl.cluster=lab", f"sparkctl.user={os.getuid()}"} <= {*line}


@pytest.mark.parametrize(
    "text",
    [
        # runc, by docker and by podman; crun.
        "docker: Error response from daemon: failed to create task for container: runc create"
        ' failed: exec: "python3": executable file not found in $PATH: unknown.',
        "Error: crun: executable file `python3` not found in $PATH: No such file or directory: OCI"
        " runtime attempted to invoke a command that was not found",
    ],
)
@pytest.mark.usefixtures("home")
def test_an_image_without_python_has_nothing(bin_: Path, text: str) -> None:
    install(bin_, "docker", run=f"echo {shlex.quote(text)} >&2; exit 127")
    assert (read("docker")["exists"], read("docker")["python"]) == (True, None)


def test_an_image_for_another_machine_is_not_run(
    bin_: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containertools, "architecture", lambda _: "arm64")
    install(bin_, "docker", run=RUN)
    with pytest.raises(OSError, match="built for amd64, and the node is arm64"):
        read("docker")
    assert not (home / "runs").exists()


@pytest.mark.usefixtures("home")
def test_an_image_that_no_engine_has_does_not_exist(bin_: Path) -> None:
    install(bin_, "docker", image="echo '[]'; echo 'No such image: x' >&2; exit 1")
    assert read("podman", "docker")["exists"] is False


def test_the_packages_and_libraries_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, lib, bins = tmp_path / "site", tmp_path / "lib", tmp_path / "bin"
    for path in (site / "vllm-0.32.0.dist-info", site / "nvidia/nccl/lib", lib, bins):
        path.mkdir(parents=True)
    own = site / "nvidia/nccl/lib/libnccl.so.2"
    for path in (own, lib / "libnccl.so.2.28.9", lib / "libibverbs.so.1", bins / "ray"):
        path.write_bytes(b"NCCL version 2.28.9+cuda13.0")
        path.chmod(0o755)
    (lib / "libnccl.so.2").symlink_to("libnccl.so.2.28.9")
    lines = f"""echo '2 libs found
\tlibibverbs.so.1 (libc6,AArch64) => {lib}/libibverbs.so.1
\tlibnccl.so.2 (libc6,AArch64) => {lib}/libnccl.so.2'"""
    (bins / "ldconfig").write_text(f"#!/bin/sh\n{lines}\n")
    (bins / "ldconfig").chmod(0o755)
    monkeypatch.setenv("PATH", str(bins))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(lib))
    monkeypatch.setattr(sys, "path", ["/nowhere", str(site)])
    monkeypatch.setenv("NCCL_IB_DISABLE", "1")
    monkeypatch.setattr(verbs, "PROVIDERS", ())
    found: Any = inimage.read({})
    assert found["environment"]["NCCL_IB_DISABLE"] == "1"
    assert found["versions"] == {"vllm": "0.32.0"}
    assert found["programs"] == dict.fromkeys(packages.PROGRAMS, False) | {"ray": True}
    assert {*found["nccl"]} == {str(own), str(lib / "libnccl.so.2.28.9")}
    assert found["libibverbs"] == {"path": f"{lib}/libibverbs.so.1", "providers": []}
