"""What a node makes of nvidia-smi's output, in the words that it really prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import gpu

if TYPE_CHECKING:
    from pathlib import Path

NAMES = "--query-gpu=name,driver_version"
OLDER = f"{NAMES},clocks.sm,clocks.max.sm,utilization.gpu,power.draw,temperature.gpu"
FULL = f"{OLDER},clocks_event_reasons.active"


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's nvidia-smi goes; there is none yet."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "nvidia-smi"


def answer(smi: Path, script: str) -> dict[str, Any]:
    """What a node answers with this nvidia-smi."""
    smi.write_text(f"#!/bin/sh\n{script}\n")
    smi.chmod(0o755)
    return dict(gpu.gpu(gpu.begin()))


def test_what_a_driver_prints_for_an_unknown_reading_is_left_out(smi: Path) -> None:
    script = f"""case $1 in
{FULL}) echo 'NVIDIA GB10, 580.95.05, 4294967295, 3003, nan, -1, inf, 0x0' ;;
esac"""
    (found,) = answer(smi, script)["gpus"]
    assert {*found} == {"name", "driver", "clock_max", "reasons"}


def test_readings_are_numbers_or_left_out(smi: Path) -> None:
    script = f"""case $1 in
{FULL}) echo 'NVIDIA GB10, 580.95.05, 2411, 3003, 96, [N/A], 61, 0x0000000000000024' ;;
*) echo '12, /opt/x, y' ;;
esac"""
    found = answer(smi, script)
    assert found["gpus"] == [
        {
            "name": "NVIDIA GB10",
            "driver": "580.95.05",
            "clock": 2411.0,
            "clock_max": 3003.0,
            "utilization": 96.0,
            "temperature": 61.0,
            "reasons": 0x24,
        }
    ]
    assert found["gpu_processes"] == [{"pid": 12, "name": "/opt/x, y"}]
    assert (found["gpu_error"], found["gpu_problem"]) == (None, None)


def test_a_driver_before_535_has_readings_without_reasons(smi: Path) -> None:
    script = f"""[ "$1" = {OLDER} ] && echo 'Tesla, 470.1, 900, 1410, 5, 40, 50' && exit
echo 'Field "x" is not a valid field to query.'
exit 2"""
    (found,) = answer(smi, script)["gpus"]
    assert (found["clock"], found["temperature"]) == (900.0, 50.0)
    assert "reasons" not in found


def test_a_driver_that_does_not_know_a_reading_still_names_its_gpus(smi: Path) -> None:
    script = f"""[ "$1" = {NAMES} ] && echo 'Tesla, 470.1' && exit
echo 'Field "clocks.max.sm" is not a valid field to query.'
exit 2"""
    found = answer(smi, script)
    assert found["gpus"] == [{"name": "Tesla", "driver": "470.1"}]
    assert found["gpu_error"] is None


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        (
            "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580",
            "mismatch",
        ),
        (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make"
            " sure that the latest NVIDIA driver is installed and running.",
            "unloaded",
        ),
        ("Failed to initialize NVML: Driver Not Loaded", "unloaded"),
        ("No devices were found", "no-devices"),
        ("Unable to determine the device handle for GPU0: Unknown Error", "failed"),
    ],
)
def test_each_reason_is_a_kind(smi: Path, printed: str, problem: str) -> None:
    found = answer(smi, f'cat <<"END"\n{printed}\nEND\nexit 9')
    assert (found["gpus"], found["gpu_problem"], found["gpu_processes"]) == (None, problem, None)
    assert printed.splitlines()[0] in found["gpu_error"]


def test_a_program_that_is_not_there_and_one_that_hangs(
    smi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu.gpu(gpu.begin())["gpu_problem"] == "absent"
    monkeypatch.setattr(gpu, "TIMEOUT", 0.1)
    assert answer(smi, "exec sleep infinity")["gpu_problem"] == "timeout"
