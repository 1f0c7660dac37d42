"""The logs of started programs: the last runs are kept, and none fills a disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import files, launch, logs, nccllines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def made(run: str, at: float, unit: str = "vllm") -> Path:
    path = logs.new("c", run, unit, {"r00"})
    path.write_text(f"of {run}\n")
    os.utime(path.parent, (at, at))
    os.utime(path, (at, at))
    return path


def test_the_last_ten_runs_are_kept_and_those_that_live(home: Path) -> None:
    for number in range(11):
        made(f"r{number:02}", 1000.0 + number)
    logs.new("c", "new", "vllm", {"r00"})
    kept = {p.name for p in (home / ".sparkctl/c/logs").iterdir()}
    assert kept == {"new", "r00", *(f"r{n:02}" for n in range(2, 11))}
    modes = {p.stat().st_mode & 0o777 for p in (home / ".sparkctl").rglob("*") if p.is_dir()}
    assert modes == {0o700}


def test_the_current_log_is_that_of_the_recorded_run_else_the_newest(home: Path) -> None:
    older, newer = made("r1", 1000.0), made("r2", 2000.0)
    assert logs.current("c", "vllm") == newer
    files.write({"cluster": "c", "files": {logs.RECORD: '{"units": {"vllm": {"run": "r1"}}}'}})
    assert logs.current("c", "vllm") == older
    files.write({"cluster": "c", "files": {logs.RECORD: '{"units": {"vllm": {"run": "../x"}}}'}})
    assert logs.current("c", "vllm") == newer
    newer_record = '{"schema": 2, "units": {"vllm": {"run": "r1"}}}'
    files.write({"cluster": "c", "files": {logs.RECORD: newer_record}})
    assert logs.current("c", "vllm") == newer, "what r1 means there is unknown"
    assert logs.current("c", "ray") == home / ".sparkctl/c/ray.log"


def test_a_log_that_grows_is_set_aside_while_its_process_lives(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beginning stays, with what NCCL says there; what comes after goes on in the file."""
    monkeypatch.setattr(logs, "BYTES", 1000)
    monkeypatch.setattr(logs, "KEEPER", logs.KEEPER.replace("[], [], 10)", "[], [], 0.02)"))
    path = logs.new("c", "r1", "vllm", ())
    writer = "import sys, os\nfor line in sys.stdin:\n    os.write(1, line.encode())\n"
    with path.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", writer], stdin=subprocess.PIPE, stdout=stream, text=True
        )
    assert process.stdin is not None
    logs.keep_small(process.pid, path, {})
    begun = path.with_suffix(".begin.log")
    for number in range(10_000):
        process.stdin.write(f"NCCL INFO line {number} {'x' * 80}\n")
        process.stdin.flush()
        if path.with_suffix(".before.log").exists():
            break
    process.stdin.close()
    assert process.wait() == 0
    assert begun.read_text().startswith("NCCL INFO line 0 ")
    found: Any = nccllines.lines({"cluster": "c", "unit": "vllm"})
    numbers = [number for number, _ in found["lines"]]
    assert numbers == sorted(set(numbers)), "the parts' lines are numbered on"
    assert found["path"] == str(path)


def test_a_start_writes_its_runs_log_and_no_secret_into_it(home: Path) -> None:
    request: Any = {"cluster": "c", "run": "r1", "unit": "ray", "timeout": 10, "env": {}}
    argv = [sys.executable, "-c", "print('started')", "planted"]
    answer = launch.run(request | {"argv": argv, "shown": "python ****"})
    assert answer["status"] == 0
    text = (home / ".sparkctl/c/logs/r1/ray.log").read_text()
    assert "python ****\n" in text.splitlines(keepends=True)[0]
    assert "planted" not in text
    assert text.endswith("started\n")
    assert json.dumps(answer["tail"]).count("started") == 1
