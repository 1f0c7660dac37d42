"""A lab for each test: making, refusing, removing."""

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
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine
from sparkctl.lab.processes import first_pids
from tests.lab.remains import remains
from tests.refused import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab
JUMBO = "ping -q -c 1 -W 2 -M do -s 8972"


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    """A folder for a lab, in /tmp, which each node has for itself."""
    yield tmp_path / "lab"
    labs.down(tmp_path / "lab")
    assert remains(tmp_path / "lab") == []


def up(base: Path, count: int = 2) -> labs.Lab:
    return labs.up(count, base, Path("/no/runtime"), base.parent / "cache", model=False)


def on(base: Path, node: str, command: str) -> str:
    """What a command prints that `sparkctl lab ssh` runs on a node."""
    argv = [sys.executable, "-m", "sparkctl", "lab", "ssh", node, "--dir", str(base), "--", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout


def test_four_nodes_reach_each_other_through_both_switches(base: Path) -> None:
    up(base, 4)
    peers = [f"192.168.{subnet}.{10 + n}" for subnet in (100, 101) for n in (2, 3, 4)]
    pings = " && ".join(f"{JUMBO} {peer}" for peer in peers)
    assert on(base, "spark-1", pings).count("0% packet loss") == 6


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
    for change, expected in (("down", "1: DOWN"), ("up", "4: ACTIVE")):
        on(base, "spark-2", f"ip link set enp1s0f0np0 {change}")
        look = f"timeout 5 sh -c 'until grep -q \"{expected}\" {state}; do sleep 0.02; done'"
        on(base, "spark-1", look)
    empty = "cat /sys/class/infiniband/rocep1s0f0/ports/1/gid_attrs/types/200 2>&1; true"
    assert "Invalid argument" in on(base, "spark-1", empty)


def test_a_renamed_link_keeps_the_node_and_its_sysfs(base: Path) -> None:
    up(base)
    net, port = "/sys/class/net", "/sys/class/infiniband/roceP2p1s0f0/ports/1"
    for old, new in (("enP2p1s0f0np0", "other"), ("other", "enP2p1s0f0np0")):
        on(base, "spark-2", f"cat {net}/{old}/mtu")  # a reader before the rename
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
    with refused("lab-size-differs") as caught:
        up(base, 3)
    assert caught.value.data == {"nodes": 2, "requested": 3}


def test_a_killed_node_is_reported_and_down_removes_the_rest(base: Path) -> None:
    lab = up(base)
    os.kill(first_pids(lab.nodes)["spark-1"], signal.SIGKILL)
    deadline = time.monotonic() + 5
    while "spark-1" in first_pids(lab.nodes):
        assert time.monotonic() < deadline
    with refused("lab-node-lost") as caught:
        up(base)
    assert caught.value.data == {"nodes": ["spark-1"]}
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


def test_files_of_the_release_before_have_no_schema_number(base: Path) -> None:
    up(base)
    state = json.loads((base / "lab.json").read_text())
    assert state.pop("schema") == 1
    (base / "lab.json").write_text(json.dumps(state))
    engine.inject(base, "nccl-conf")
    found = labs.status(base)
    assert found is not None
    assert found["faults"] == [{"name": "nccl-conf", "node": "spark-2"}]
    assert [active.fault for active in engine.heal(base)] == ["nccl-conf"]
    assert up(base).existing


def test_faults_of_the_release_before_are_removed_with_the_lab(base: Path) -> None:
    up(base)
    (base / "faults.json").write_text('{"schema": 1, "active": []}')
    for command in (labs.status, engine.heal):
        with refused("lab-journal-old") as caught:
            command(base)
        assert "sparkctl lab down" in (caught.value.hint or "")
    labs.down(base)
    assert remains(base) == []


@pytest.mark.parametrize("name", ["lab.json", "journal.json"])
def test_an_unknown_schema_is_refused_and_kept(base: Path, name: str) -> None:
    base.mkdir()
    (base / "lab.json").write_text('{"nodes": 2, "subnet": "10.77.0"}')
    (base / name).write_text('{"schema": 2}')
    for command in (up, labs.down, labs.status):
        with refused("lab-schema-unknown") as caught:
            command(base)
        assert caught.value.data == {"path": str(base / name), "schema": "2"}
        assert (base / name).read_text() == '{"schema": 2}'
    for path in base.iterdir():
        path.unlink()


def test_a_damaged_state_is_refused_until_the_lab_is_removed(base: Path) -> None:
    up(base)
    (base / "lab.json").write_text('{"schema": 1, "no')
    for command in (up, labs.status):
        with refused("lab-file-damaged"):
            command(base)
    labs.down(base)
    assert remains(base) == []


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
    with refused("lab-model-failed") as caught:
        labs.up(2, base, base.parent / "runtime", base.parent / "cache", model=True)
    assert "no torch" in caught.value.message  # what the runtime's python printed
    assert remains(base) == []


def test_a_missing_runtime_is_refused_before_anything_is_made(base: Path) -> None:
    with refused("lab-runtime-missing") as caught:
        labs.up(2, base, Path("/no/runtime"), cache_folder(), model=True)
    assert "--no-model" in (caught.value.hint or "")
    assert not base.exists()


def test_a_folder_with_other_files_is_refused_and_kept(base: Path) -> None:
    base.mkdir()
    (base / "thesis.tex").write_text("mine")
    with refused("lab-folder-taken"):
        up(base)
    labs.down(base)
    assert (base / "thesis.tex").read_text() == "mine"
    (base / "thesis.tex").unlink()


def test_a_folder_that_no_overlay_can_use_is_refused_before_it_is_made(tmp_path: Path) -> None:
    with refused("lab-folder-name"):
        up(tmp_path / "a,b")
    assert not (tmp_path / "a,b").exists()


def test_status_as_json(base: Path) -> None:
    up(base)
    argv = [sys.executable, "-m", "sparkctl", "lab", "status", "--json", "--dir", str(base)]
    shown = json.loads(subprocess.check_output(argv, text=True))
    assert [n["name"] for n in shown["nodes"]] == ["spark-1", "spark-2"]
    assert all(n["ssh"] and n["pid"] for n in shown["nodes"])
    assert any("ConnectX-7" in what for what in shown["imitated"])
