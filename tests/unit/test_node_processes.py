"""Our processes are found by their mark and ended; others are left alone."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparkctl.node import files, processes, signals, stop

CLUSTER = f"test-{os.getpid()}"
SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(300)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(flush=True); time.sleep(300)",
]
# A daemon whose parent is gone, as Ray's are.
DAEMON = ["sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo"]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    begun: list[subprocess.Popen[bytes]] = []

    def run(
        argv: list[str], role: str = "ray", run_id: str = "r1", cluster: str = CLUSTER
    ) -> subprocess.Popen[bytes]:
        env = {**os.environ, "SPARKCTL_CLUSTER": f"{cluster}/{run_id}", "SPARKCTL_ROLE": role}
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it is past its set-up
        begun.append(process)
        return process

    yield run
    stop.stop({"cluster": CLUSTER, "grace": 0.1})
    for process in begun:
        process.kill()
        process.wait()


def test_only_the_marked_cluster_is_ended(start: Start) -> None:
    mine, other = start(SLEEP), start(SLEEP, cluster=CLUSTER + "x")
    answer: Any = stop.stop({"cluster": CLUSTER, "grace": 5})
    assert [p["pid"] for p in answer["stopped"]] == [mine.pid]
    assert answer["remaining"] == []
    assert mine.wait(5) == -15
    assert other.poll() is None


def test_roles_and_runs_limit_what_is_ended(start: Start) -> None:
    ray, vllm, older = start(SLEEP), start(SLEEP, role="vllm"), start(SLEEP, "vllm", "r0")
    request: Any = {"cluster": CLUSTER, "roles": ["vllm"], "run": "r1", "grace": 5}
    answer: Any = stop.stop(request)
    assert [p["pid"] for p in answer["stopped"]] == [vllm.pid]
    assert ray.poll() is None
    assert older.poll() is None


def test_a_process_that_ignores_term_is_killed(start: Start) -> None:
    stubborn = start(STUBBORN)
    begun = time.monotonic()
    answer = stop.stop({"cluster": CLUSTER, "grace": 0.3})
    assert answer["remaining"] == []
    assert stubborn.wait(5) == -9
    assert time.monotonic() - begun < 5


def test_a_daemon_that_left_its_parent_is_found(start: Start) -> None:
    parent = start(DAEMON)
    parent.wait(5)
    (found,) = processes.ours(CLUSTER)
    assert found.pid != parent.pid
    assert found.unit == "", "as an older sparkctl starts it"
    assert stop.stop({"cluster": CLUSTER, "grace": 5})["remaining"] == []


def test_where_a_process_remains_its_files_do_too(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    temp = tmp_path / "temp"
    files.write({"cluster": CLUSTER, "files": {"applied.json": "{}"}, "temp_dir": str(temp)})
    process = start(SLEEP)
    request: Any = {"cluster": CLUSTER, "temp_dir": str(temp), "grace": 5}
    with monkeypatch.context() as patched:
        patched.setattr(signals, "end", lambda *_, **__: None)  # as a process in an unbroken sleep
        answer: Any = stop.clear(request)
    assert [p["pid"] for p in answer["remaining"]] == [process.pid]
    assert answer["removed"] == []
    assert (files.home(CLUSTER) / "applied.json").exists()
    assert temp.is_dir()
    answer = stop.clear(request)
    assert (answer["remaining"], len(answer["removed"])) == ([], 2)


def test_nothing_to_stop_is_no_error() -> None:
    answer = stop.stop({"cluster": CLUSTER + "none"})
    assert answer == {"stopped": [], "remaining": [], "error": None}


def test_a_later_process_with_the_same_pid_is_not_ours(start: Start) -> None:
    process = start(SLEEP)
    started = processes.identity(process.pid)
    assert processes.alive(process.pid, started)
    assert not processes.alive(process.pid, started + 1)


# Each writes its name when TERM comes, and goes; the helper takes no notice.
GOES = """\
#!/bin/sh
trap 'echo "${0##*/}" >>"$ORDER"; exit' TERM
echo
while :; do sleep 0.05; done
"""
STAYS = "#!/bin/sh\ntrap '' TERM\necho\nwhile :; do sleep 0.05; done\n"


def test_the_gcs_goes_last_and_helpers_hold_nothing_up(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDER", str(tmp_path / "order"))
    running = []
    for name, text in (("gcs_server", GOES), ("raylet", GOES), ("dashboard", STAYS)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        # As Ray's own programs: the first word of the command line is the program.
        running.append(start([str(tmp_path / name)]))
    monkeypatch.setattr(signals, "program", lambda p: p.command.split("/")[-1])
    begun = time.monotonic()
    answer = stop.stop({"cluster": CLUSTER, "grace": 30})
    assert answer["remaining"] == []
    assert (tmp_path / "order").read_text().split() == ["raylet", "gcs_server"]
    assert running[2].wait(5) == -9
    assert time.monotonic() - begun < 30, "the helper was not waited for"


@pytest.mark.parametrize("title", ["ray::RayWorkerProc", "ray::RayWorkerWrapper"])
def test_what_a_rank_shares_before_ray_ends_it_goes_with_vllm(
    title: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Ray does it, a moment after vLLM is gone: the rank has shared something of its own by then.
    shared, vllm = Path(f"/dev/shm/sparkctl-test-{os.getpid()}"), start(SLEEP, role="vllm")
    rank = (
        "import mmap, os, sys, time\n"
        f"while os.path.exists('/proc/{vllm.pid}/exe'): time.sleep(0.01) or print(flush=True)\n"
        f"file = open({str(shared)!r}, 'w+b'); file.truncate(4096)\n"
        "shared = mmap.mmap(file.fileno(), 0)\n"
        "time.sleep(0.5)\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        python, script = shlex.quote(sys.executable), shlex.quote(rank)
        ray = start(["bash", "-c", f"exec -a {title} {python} -c {script}"])
        stop.stop({"cluster": CLUSTER, "roles": ["vllm"], "grace": 5})
        assert ray.wait(10) == 0
        assert not shared.exists()
    finally:
        shared.unlink(missing_ok=True)
