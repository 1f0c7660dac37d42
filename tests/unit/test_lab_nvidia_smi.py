"""The imitated nvidia-smi: it says what it is, and answers what is asked of a GB10."""

from __future__ import annotations

import subprocess

import pytest

from sparkctl.lab.node import NVIDIA_SMI


def ask(*arguments: str) -> tuple[int, list[str]]:
    """Run it as a node does, as a program."""
    done = subprocess.run(
        ["sh", str(NVIDIA_SMI), *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()


def test_its_plain_output_says_that_it_is_imitated() -> None:
    status, lines = ask()
    assert status == 0
    assert "imitated" in lines[0]
    assert any("580.95.05" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["--query-gpu=name,driver_version", "--format=csv,noheader"],
         ["NVIDIA GB10, 580.95.05"]),
        (["--query-gpu=name,memory.total", "--format=csv"],
         ["name, memory.total [MiB]", "NVIDIA GB10, [N/A]"]),
        (["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader"],
         ["0 %, [N/A]"]),
        (["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"], ["0"]),
        (["--query-compute-apps=pid,process_name", "--format=csv"], ["pid, process_name"]),
        (["--query-compute-apps=pid", "--format=csv,noheader"], []),
    ],
)  # fmt: skip
def test_queries(arguments: list[str], lines: list[str]) -> None:
    assert ask(*arguments) == (0, lines)


def test_list() -> None:
    assert ask("-L")[1][0].startswith("GPU 0: NVIDIA GB10 (UUID: GPU-")


def test_what_it_does_not_know_fails() -> None:
    assert ask("--query-gpu=name")[0] != 0
    assert ask("--gpu-reset")[0] != 0
