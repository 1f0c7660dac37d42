"""The logs of started programs: the last runs are kept, and none fills a disk."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import files, follow, launch, logs, nccllines, shim

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
    newer_record = '{"schema": 3, "units": {"vllm": {"run": "r1"}}}'
    files.write({"cluster": "c", "files": {logs.RECORD: newer_record}})
    assert logs.current("c", "vllm") == newer, "what r1 means there is unknown"
    assert logs.current("c", "ray") == home / ".sparkctl/c/ray.log"


def test_the_current_log_of_a_unit_is_that_of_its_last_start(home: Path) -> None:
    older, newer = made("r1", 1000.0), made("r2", 2000.0)
    units = {"a/0/vllm/n": {"run": "r2", "since": 1}, "b/0/vllm/n": {"run": "r1", "since": 2}}
    record = json.dumps({"schema": 2, "units": units})
    files.write({"cluster": "c", "files": {logs.RECORD: record}})
    found = {unit: logs.current("c", unit) for unit in ("vllm", *units)}
    assert found == {"vllm": older, "a/0/vllm/n": newer, "b/0/vllm/n": older}


def test_a_log_that_grows_is_set_aside_while_its_program_lives(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beginning stays, with what NCCL says there; what comes after goes on in the file."""
    monkeypatch.setattr(shim, "BYTES", 1000)
    monkeypatch.setattr(shim, "EVERY", 0.02)
    log = home / ".sparkctl/c/logs/r1/vllm.log"
    writer = (
        "import os, sys, time\n"
        "for number in range(100_000):\n"
        "    os.write(1, f'NCCL INFO line {number} {80 * \"x\"}\\n'.encode())\n"
        "    time.sleep(0.001)\n"
        "    if os.path.exists(sys.argv[1]): break\n"
    )
    argv = [sys.executable, "-c", writer, str(log.with_suffix(".before.log"))]
    request: Any = {"cluster": "c", "run": "r1", "unit": "vllm", "env": {}, "argv": argv}
    answer = launch.start(request | {"wait": 60})
    assert answer["status"] == 0
    assert "NCCL INFO line 0 " in log.with_suffix(".begin.log").read_text().splitlines()[1]
    found: Any = nccllines.lines({"cluster": "c", "unit": "vllm"})
    numbers = [number for number, _ in found["lines"]]
    assert numbers == sorted(set(numbers)), "the parts' lines are numbered on"
    assert found["path"] == str(log)


def test_lines_since_a_time_are_all_there(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the marks of a real shim, which are thinned, of a log that is set aside meanwhile."""
    monkeypatch.setattr(shim, "BYTES", 100_000)
    monkeypatch.setattr(shim, "EVERY", 0.01)
    monkeypatch.setattr(shim, "MARKS", 40)
    log = home / ".sparkctl/c/logs/r1/vllm.log"
    writer = (
        "import os, sys, time\n"
        "log, second = sys.argv[1], int(time.time())\n"
        "while not (os.path.exists(log + '.before.log') and time.time() > second + 4):\n"
        "    os.write(1, f'{time.time()} {90 * \"x\"}\\n'.encode())\n"
        "    time.sleep(0.001)\n"
    )
    argv = [sys.executable, "-c", writer, str(log.with_suffix(""))]
    request: Any = {"cluster": "c", "run": "r1", "unit": "vllm", "env": {}, "argv": argv}
    assert launch.start(request | {"wait": 60})["status"] == 0

    def since(when: float) -> list[float]:
        ago = time.time() - when
        asked: Any = {"cluster": "c", "unit": "vllm", "since": ago, "follow": False}
        follow.follow(asked)
        events = map(json.loads, capsys.readouterr().out.splitlines())
        text = "".join(event.get("text", "") for event in events)
        return [float(line.split()[0]) for line in text.splitlines() if "==" not in line]

    whole = since(0)
    assert whole == sorted(whole)
    begins = []
    for when in whole[:: len(whole) // 20]:
        found = since(when)
        assert found == whole[-len(found) :]
        assert found[0] <= when, "no line is missing"
        begins.append(found[0])
    assert begins == sorted(begins)
    assert len({*begins}) > 1, "not always all of it"
    assert since(time.time() + 1) == []
    marks = [path.stat().st_size for path in log.parent.glob("*.times")]
    assert all(size < 60 for size in marks), marks
    assert not [*log.parent.glob("*.new")]


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
