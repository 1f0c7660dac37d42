"""The imitated nvidia-smi: it says that it is imitated, and answers as on a GB10."""

from __future__ import annotations

import subprocess

import pytest

from sparkctl.lab.node import NVIDIA_SMI

IDLE = "208 MHz, 4.52 W"


def ask(*arguments: str) -> tuple[int, list[str]]:
    """Its exit status and the lines that it prints."""
    argv = ["sh", str(NVIDIA_SMI), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_its_plain_output_says_that_it_is_imitated() -> None:
    status, lines = ask()
    assert status == 0
    assert "imitated" in lines[0]
    assert any("580.95.05" in line for line in lines)


@pytest.mark.parametrize(
    ("query", "form", "lines"),
    [
        ("gpu=name,driver_version", "csv,noheader", ["NVIDIA GB10, 580.95.05"]),
        ("gpu=name,memory.total", "csv", ["name, memory.total [MiB]", "NVIDIA GB10, [N/A]"]),
        ("gpu=utilization.gpu,memory.used", "csv,noheader", ["0 %, [N/A]"]),
        ("gpu=utilization.gpu", "csv,noheader,nounits", ["0"]),
        ("gpu=clocks.sm,power.draw", "csv", ["clocks.current.sm [MHz], power.draw [W]", IDLE]),
        ("gpu=clocks.sm,power.draw", "csv,noheader,nounits", ["208, 4.52"]),
        ("compute-apps=pid,process_name", "csv", ["pid, process_name"]),
        ("compute-apps=pid", "csv,noheader", []),
    ],
)
def test_queries(query: str, form: str, lines: list[str]) -> None:
    assert ask(f"--query-{query}", f"--format={form}") == (0, lines)


def test_list() -> None:
    assert ask("-L")[1][0].startswith("GPU 0: NVIDIA GB10 (UUID: GPU-")


def test_what_it_does_not_know_fails() -> None:
    assert ask("--query-gpu=name")[0] != 0
    assert ask("--gpu-reset")[0] != 0
