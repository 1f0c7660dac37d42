"""A look into a container: why none starts, and what a process in it has."""

from __future__ import annotations

import json
import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.facts.containers import BoxLook, Inside
from sparkctl.node import boxlook, inbox
from sparkctl.remote.node_rpc import reader

if TYPE_CHECKING:
    from pathlib import Path


def look(*argv: str, stdin: str = "", seconds: float = 20.0) -> BoxLook:
    found = boxlook.look({"argv": argv, "stdin": stdin, "seconds": seconds, "container": "x"})
    return BoxLook.model_validate(json.loads(json.dumps(found)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'docker: Error response from daemon: could not select device driver "" with'
            " capabilities: [[gpu]].",
            "no-toolkit",
        ),
        (
            "docker: Error response from daemon: unknown or invalid runtime name: nvidia.",
            "no-toolkit",
        ),
        ("Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all", "no-cdi"),
        ("Error: stat nvidia.com/gpu=all: no such file or directory", "no-cdi"),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "unloaded"),
        (
            "nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1:"
            " cannot open shared object file: no such file or directory",
            "unloaded",
        ),
        ("docker: Error response from daemon: no space left on device.", "failed"),
        ("docker: invalid reference format: repository name must be lowercase", "failed"),
    ],
)
@pytest.mark.parametrize(
    "hint", ["See 'docker run --help'.", "\nRun 'docker run --help' for more information"]
)
def test_why_no_container_starts(text: str, problem: str, hint: str) -> None:
    found = look("sh", "-c", 'echo "$0" >&2; echo "$1" >&2; exit 125', text, hint)
    assert (found.problem, found.reason, found.inside) == (problem, text, None)


def test_a_container_that_hangs_or_prints_something_else_has_failed() -> None:
    assert look("sleep", "60", seconds=0.1).reason == "sleep timed out after 0.1 s"
    assert look("echo", "hello").reason == "the container printed no JSON: 'hello\\n'"
    assert look("/nowhere/docker").problem == "failed"
    long = "head -c 200000 /dev/zero | tr '\\0' x >&2; exit 1"
    assert look("sh", "-c", long).reason == "x" * 500


def test_what_a_process_has_is_read_by_the_containers_own_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text(
        "#!/bin/sh\n[ -e $0.off ] || exec echo 'GPU 0: NVIDIA GB10 (UUID: GPU-1)'\n"
        "echo 'Failed to initialize NVML: Unknown Error'; exit 255\n"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    program: Any = reader("inbox.read")
    found = look(sys.executable, *program["argv"][1:], stdin=program["stdin"]).inside
    assert found
    assert found.gpus == ("GPU 0: NVIDIA GB10 (UUID: GPU-1)",)
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    assert found.memlock == (-1 if soft == resource.RLIM_INFINITY else soft)
    assert found.capabilities is not None
    (tmp_path / "nvidia-smi.off").touch()
    lost = Inside.model_validate(json.loads(json.dumps(inbox.read({}))))
    assert (lost.gpus, lost.gpu_problem) == (None, "revoked")
