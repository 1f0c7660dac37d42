"""Labs of their own, beside the one that the other tests share: making, refusing, removing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.errors import SparkctlError, UsageError
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine
from sparkctl.lab.spec import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab
JUMBO = "ping -q -c 1 -W 2 -M do -s 8972"


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A folder for a lab in /tmp, which its nodes have for themselves."""
    yield tmp_path / "lab"
    labs.down(tmp_path / "lab")
    assert remains(tmp_path / "lab") == []


def up(base: Path, count: int = 2) -> labs.Lab:
    return labs.up(count, base, Path("/no/runtime"), base.parent / "cache", model=False)


def remains(base: Path) -> list[str]:
    """What of a lab is on this machine."""
    spaces = subprocess.check_output(["ip", "netns"], text=True).splitlines()
    links = subprocess.check_output(["ip", "-oneline", "link"], text=True).splitlines()
    mounts = Path("/proc/mounts").read_text().splitlines()
    found = [x for x in spaces + links if prefix(base) in x] + [x for x in mounts if str(base) in x]
    found += [str(p.pid) for p in labs.processes(base)]
    return found + ([str(base)] if base.exists() else [])


def on(base: Path, node: str, command: str) -> str:
    """Through `sparkctl lab ssh`."""
    argv = [sys.executable, "-m", "sparkctl", "lab", "ssh", "--dir", str(base), node, "--", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout


def test_four_nodes_reach_each_other_through_both_switches(base: Path) -> None:
    up(base, 4)
    peers = " && ".join(
        f"{JUMBO} 192.168.{s}.{10 + n}" for s in (100, 101) for n in (2, 3, 4)
    )  # fmt: skip
    assert on(base, "spark-1", peers).count("0% packet loss") == 6


def test_a_node_has_what_commands_over_ssh_need(base: Path) -> None:
    up(base, 1)
    printed = on(base, "spark-1", "python3 -c 'import sys; print(sys.version_info >= (3, 11))'")
    assert printed == "True\n"
    on(base, "spark-1", "timeout 5 true && test -w /dev/shm && test -c /dev/infiniband/uverbs3")
    assert on(base, "spark-1", "echo $SPARKCTL_LAB $HOSTNAME") == f"{base} spark-1\n"
    mounts = on(base, "spark-1", "cat /proc/mounts").splitlines()
    assert [m.split()[1] for m in mounts][:3] == ["/", "/proc", "/sys"]  # none of this machine's


def test_a_pulled_cable_shows_in_the_imitated_sysfs(base: Path) -> None:
    up(base)
    state = "/sys/class/infiniband/rocep1s0f0/ports/1/state"
    for change, wanted in (("down", "1: DOWN"), ("up", "4: ACTIVE")):
        on(base, "spark-2", f"ip link set enp1s0f0np0 {change}")
        look = f"timeout 5 sh -c 'until grep -q \"{wanted}\" {state}; do sleep 0.02; done'"
        on(base, "spark-1", look)
    empty = "cat /sys/class/infiniband/rocep1s0f0/ports/1/gid_attrs/types/200 2>&1; true"
    assert "Invalid argument" in on(base, "spark-1", empty)


def test_a_renamed_link_keeps_the_node_and_its_sysfs(base: Path) -> None:
    up(base)
    net, port = "/sys/class/net", "/sys/class/infiniband/roceP2p1s0f0/ports/1"
    for old, new in (("enP2p1s0f0np0", "other"), ("other", "enP2p1s0f0np0")):
        on(base, "spark-2", f"cat {net}/{old}/mtu")  # a reader that had been there before
        on(base, "spark-2", f"ip link set {old} down && ip link set {old} name {new}")
        on(base, "spark-2", f"ip link set {new} up")
        seen = f"timeout 5 sh -c 'until cat {net}/{new}/mtu 2>/dev/null; do sleep 0.02; done'"
        assert on(base, "spark-2", seen) == "9000\n"
    look = f"timeout 5 sh -c 'until grep -q ACTIVE {port}/state; do sleep 0.02; done'"
    on(base, "spark-2", look)


def test_a_second_up_keeps_the_lab_and_another_size_is_refused(base: Path) -> None:
    assert not up(base).existing
    before = {p.pid for p in labs.processes(base)}
    assert up(base).existing
    assert {p.pid for p in labs.processes(base)} == before
    with pytest.raises(SparkctlError, match="a lab of 2 nodes is up"):
        up(base, 3)


def test_a_killed_node_is_told_and_down_removes_the_rest(base: Path) -> None:
    up(base)
    found = labs.status(base)
    assert found is not None
    os.kill(found["nodes"][0]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while (labs.status(base) or {})["nodes"][0]["pid"]:
        assert time.monotonic() < deadline
    with pytest.raises(SparkctlError, match="has lost spark-1"):
        up(base)
    assert str(base) in labs.down(base)
    assert remains(base) == []
    assert labs.down(base) == []


def test_down_with_faults_active(base: Path) -> None:
    up(base)
    for name in ("other-cage", "uverbs-denied", "disk-full", "port-taken", "ssh-down"):
        engine.inject(base, name)
    labs.down(base)
    assert remains(base) == []


def test_a_lost_state_is_no_obstacle(base: Path) -> None:
    up(base)
    (base / "lab.json").unlink()
    labs.down(base)
    assert [x for x in remains(base) if x != str(base)] == []
    for path in sorted(base.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_ctrl_c_undoes_what_was_made(base: Path) -> None:
    argv = [sys.executable, "-m", "sparkctl", "lab", "up", "--no-model", "--nodes", "8"]
    environment = {**os.environ, "SPARKCTL_CACHE": str(base.parent / "cache")}
    process = subprocess.Popen([*argv, "--dir", str(base)], env=environment, text=True)
    deadline = time.monotonic() + 20
    while not labs.processes(base):
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert remains(base) == []


def test_a_failing_up_undoes_itself(base: Path) -> None:
    python = base.parent / "runtime/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho no torch >&2; exit 3\n")
    python.chmod(0o755)
    with pytest.raises(SparkctlError, match="no torch"):
        labs.up(2, base, base.parent / "runtime", base.parent / "cache", model=True)
    assert remains(base) == []


def test_a_missing_runtime_is_told_before_anything_is_made(base: Path) -> None:
    with pytest.raises(SparkctlError, match="there is none in /no/runtime") as caught:
        labs.up(2, base, Path("/no/runtime"), cache_folder(), model=True)
    assert "--no-model" in (caught.value.hint or "")
    assert not base.exists()


def test_a_folder_with_other_things_in_it_is_refused_and_kept(base: Path) -> None:
    base.mkdir()
    (base / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="other files in it"):
        up(base)
    labs.down(base)
    assert (base / "thesis.tex").read_text() == "mine"
    (base / "thesis.tex").unlink()


def test_status_as_json(base: Path) -> None:
    up(base)
    argv = [sys.executable, "-m", "sparkctl", "lab", "status", "--json", "--dir", str(base)]
    shown = json.loads(subprocess.check_output(argv, text=True))
    assert [n["name"] for n in shown["nodes"]] == ["spark-1", "spark-2"]
    assert all(n["ssh"] and n["pid"] for n in shown["nodes"])
    assert any("ConnectX-7" in what for what in shown["imitated"])
