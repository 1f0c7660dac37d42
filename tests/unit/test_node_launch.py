"""Programs on a node: whose their processes are, whatever they do, and how they ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import launch, logs, processes, state, waits
from sparkctl.node import shim as keeper
from tests.unit.nodeunits import (
    CLUSTER,
    ENGINE,
    RAY,
    SLEEP,
    WIPE,
    home,
    of,
    python,
    shim,
    start,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["home"]
pytestmark = pytest.mark.usefixtures("home")
root = pytest.mark.skipif(os.getuid() != 0, reason="only root can change the account")
# Ends at once and leaves a daemon in a session of its own, without an environment.
FORKS = ["sh", "-c", "env -i setsid sh -c 'env -i setsid sleep 300 & exec sleep 300' &"]


def daemons() -> list[processes.Process]:
    return [p for p in of(ENGINE) if "sleep" in p.command and "sh" not in p.command]


def test_a_daemon_with_a_wiped_environment_is_the_units() -> None:
    answer = start(FORKS, wait=30)
    assert answer["status"] == 0
    until(lambda: len(daemons()) == 2)
    assert {(p.role, p.run) for p in of(ENGINE)} == {("vllm", "r1")}
    assert all(processes.MARK not in processes.environment(p.pid) for p in daemons())
    assert shim().unit == ENGINE


def test_a_program_that_writes_over_its_environment_is_found_without_its_shim() -> None:
    code = f"{WIPE}\nimport subprocess\nsubprocess.run(['env', '-i', 'sleep', '300'])"
    pid = start(python(code))["pid"]
    until(lambda: processes.MARK not in processes.environment(pid) and len(of(ENGINE)) == 2)
    os.kill(shim().pid, signal.SIGKILL)
    until(lambda: not processes.ours(CLUSTER, ["log"]))
    assert pid in {p.pid for p in of(ENGINE)}
    assert {p.role for p in of(ENGINE)} == {"vllm"}
    # The program itself is gone, its session is not.
    os.kill(pid, signal.SIGKILL)
    until(lambda: [p.command for p in of(ENGINE)] == ["sleep 300"])


@root
def test_a_program_of_another_account_is_the_units() -> None:
    pid = start(["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", "sleep", "300"])[
        "pid"
    ]
    until(lambda: [(p.pid, p.uid) for p in of(ENGINE)] == [(pid, 4242)])
    os.kill(shim().pid, signal.SIGKILL)
    until(lambda: not processes.ours(CLUSTER, ["log"]))
    assert [p.pid for p in of(ENGINE)] == [pid]


@pytest.mark.parametrize(
    ("code", "status"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", -9), ("kill -TERM $$", -15)]
)
def test_how_a_program_ends_is_written_and_its_shim_goes(
    code: str, status: int, home: Path
) -> None:
    answer = start(["sh", "-c", code], wait=30)
    assert answer["status"] == status
    until(lambda: not processes.ours(CLUSTER, ["log"]))
    (path,) = (home / ".sparkctl" / CLUSTER).rglob("*.exit")
    assert path == logs.exit_path(home / f".sparkctl/{CLUSTER}/logs/r1/vllm.log")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_shim_takes_no_notice_of_term_and_its_program_does() -> None:
    pid = start(["sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.05; done"])["pid"]
    os.kill(shim().pid, signal.SIGTERM)
    os.kill(pid, signal.SIGTERM)
    assert start([], wait=30)["status"] == 7


def test_a_program_gets_the_marks_and_no_blocked_signal() -> None:
    pid = start(SLEEP, unit=RAY, env={"A": "1"})["pid"]
    found = processes.environment(pid)
    marks = {found[name] for name in (processes.MARK, processes.ROLE, processes.UNIT)}
    assert marks == {f"{CLUSTER}/r1", "ray", RAY}
    assert found["A"] == "1"
    status = dict(
        line.split(":\t", 1)
        for line in (processes.PROC / str(pid) / "status").read_text().splitlines()
    )
    assert int(status["SigBlk"], 16) == 0
    kept = processes.environment(shim().pid)
    assert (kept[processes.ROLE], "A" in kept) == ("log", False)


def test_a_call_that_is_repeated_starts_nothing() -> None:
    first = start(SLEEP)
    assert start(SLEEP) == first
    assert [p.pid for p in of(ENGINE)] == [first["pid"]]
    ended = start(["sh", "-c", "exit 3"], unit=RAY, wait=30)
    assert start(["sh", "-c", "exit 3"], unit=RAY) == ended
    other = start(SLEEP, run="r2")
    assert other["pid"] != first["pid"]


@pytest.mark.parametrize("argv", [SLEEP, ["sh", "-c", "exit 3"]], ids=["runs", "ended"])
def test_a_call_that_was_cut_off_before_its_record_is_repeated(argv: list[str]) -> None:
    first = start(argv, wait=0.0 if argv is SLEEP else 30)
    with state.changing(CLUSTER) as document:
        for name in ("pid", "started"):
            del document["units"][ENGINE][name]
    assert start(argv) == first
    assert state.read(CLUSTER)["units"][ENGINE]["pid"] == first["pid"]


def test_a_shim_lives_on_when_the_call_that_started_it_is_killed(home: Path) -> None:
    log, ends = home / "a.log", home / "a.exit"
    job = keeper.Job(["sh", "-c", "exit 3"], {}, "/", str(log), str(ends), 1000, 1.0)
    pipe = subprocess.PIPE
    argv = [sys.executable, "-I", "-S", "-c", keeper.SHIM]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write(json.dumps(job._asdict()).encode() + b"\n")
    assert (process.returncode, keeper.status(ends)) == (0, 3)


def test_calls_at_the_same_time_start_one_program() -> None:
    with ThreadPoolExecutor(4) as pool:
        pids = {answer["pid"] for answer in pool.map(start, [SLEEP] * 4)}
    assert {p.pid for p in of(ENGINE)} == pids
    assert len(pids) == 1


def test_a_shim_that_cannot_adopt_still_writes_how_its_program_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "SHIM", keeper.SHIM.replace("import ctypes", "import no_such"))
    assert start(["sh", "-c", "exit 3"], wait=30)["status"] == 3


def test_a_program_that_is_not_there_is_named_and_its_start_failed(home: Path) -> None:
    with pytest.raises(SystemExit, match="cannot start /no/such: No such file or directory"):
        start(["/no/such"])
    assert state.read(CLUSTER)["units"][ENGINE]["phase"] == "failed"
    assert processes.ours(CLUSTER) == []


def test_the_start_is_recorded_before_it_is_made(home: Path) -> None:
    path = home / ".sparkctl" / CLUSTER / state.NAME
    answer = start(["sh", "-c", f'grep -c \'"run": "r1"\' {path}; grep -c pid {path}'], wait=30)
    tail = logs.tail(home / f".sparkctl/{CLUSTER}/logs/r1/vllm.log", answer["offset"])
    assert tail[0] == "1"
    entry = state.read(CLUSTER)["units"][ENGINE]
    assert (entry["pid"], entry["started"]) == (answer["pid"], answer["started"])
    assert {"since", "phase", "boot_id", "log", "digest", "who"} <= {*entry}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def waited(**more: Any) -> Any:
    request: Any = {"cluster": CLUSTER, "unit": ENGINE, "run": "r1", "listens": None}
    return waits.until(request | {"ends": False, "timeout": 30} | more)


LISTEN = """\
import socket, sys, time
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
time.sleep(300)
"""


def free() -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return {"address": "127.0.0.1", "port": server.getsockname()[1]}


def test_waiting_until_a_program_listens() -> None:
    at = free()
    start([*python(LISTEN), str(at["port"])])
    answer = waited(listens=at)
    assert (answer["listens"], answer["ended"], answer["status"]) == (True, False, None)


def test_waiting_for_a_daemon_that_its_program_leaves() -> None:
    at = free()
    left = f'nohup {python("")[0]} -c "{LISTEN}" {at["port"]} >/dev/null 2>&1 &'
    start(["sh", "-c", left])
    answer = waited(listens=at, ends=True)
    assert (answer["listens"], answer["ended"], answer["status"]) == (True, True, 0)


def test_waiting_ends_with_a_program_that_fails() -> None:
    start(["sh", "-c", "seq 100; exit 4"])
    answer = waited(listens=free(), ends=True)
    assert (answer["listens"], answer["ended"], answer["status"]) == (False, True, 4)
    assert answer["tail"] == [str(n) for n in range(41, 101)]


def test_waiting_ends_with_a_program_that_should_stay_or_whose_end_nobody_saw() -> None:
    start(["sh", "-c", "exit 0"])
    assert (waited(listens=free())["ended"], waited()["status"]) == (True, 0)
    pid = start(SLEEP, run="r2")["pid"]
    os.kill(shim().pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    answer = waited(run="r2")
    assert (answer["ended"], answer["status"]) == (True, None)


def test_waiting_has_an_end_and_needs_a_start() -> None:
    start(SLEEP)
    answer = waited(timeout=0.1)
    assert (answer["listens"], answer["ended"]) == (False, False)
    with pytest.raises(SystemExit, match="no start of m/0/vllm/a by the run r9 is recorded"):
        waited(run="r9")


def test_a_program_that_runs_too_long_is_killed_with_its_group() -> None:
    request: Any = {"cluster": CLUSTER, "run": "r1", "unit": "ray", "env": {}, "timeout": 0.2}
    answer = launch.run(request | {"argv": ["sh", "-c", "sleep 300 & sleep 300"]})
    assert answer["status"] is None
    until(lambda: not processes.ours(CLUSTER))
