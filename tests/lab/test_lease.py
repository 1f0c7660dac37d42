"""Two commands on one cluster, as processes: one holds the lease, the other is refused."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.lab.cluster import Cluster, failure, unlocked, until
from tests.lab.toycluster import completed, ranks, toy_cluster, with_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("downed")]
BRIEF = {"SPARKCTL_TEST_LEASE": "12"}  # seconds that a lease holds, in place of 30


def test_a_command_suspended_past_the_expiry_changes_nothing_more(cluster: Cluster) -> None:
    cluster = with_rows(cluster, **BRIEF)
    first, _ = until(cluster, "read the nodes' facts", "up", "--json")
    try:
        first.send_signal(signal.SIGSTOP)
        refused = cluster.error("down")
        assert refused["code"] == "locked"
        assert f"(pid {first.pid})" in refused["data"]["who"]
        assert refused["data"]["expires_in"] > 0
        found = json.loads(cluster.run("status", "--json", code=1).stdout)
        assert f"(pid {first.pid})" in found["lease"]["who"]
        assert f"(pid {first.pid})" in cluster.run("status", code=1).stdout
        unlocked(cluster, "down")
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=120)
    finally:
        first.kill()
    assert first.returncode == 1, err
    assert failure(out)["code"] == "lease-lost"
    assert cluster.traces() == {}


def test_an_up_that_slept_while_another_took_over_changes_nothing_more(
    cluster: Cluster, toys: None, tmp_path: Path
) -> None:
    toy = with_rows(toy_cluster(cluster.lab, tmp_path), **BRIEF)
    try:
        toy.up()
        (lost,) = ranks(toy)["spark-2"]
        toy.on("spark-2", f"kill -9 {lost}")
        first, seen = until(toy, "] start toy rank 0", "up", "--json")
        try:
            first.send_signal(signal.SIGSTOP)
            unlocked(toy, "up")
            served = ranks(toy)
            first.send_signal(signal.SIGCONT)
            out, err = first.communicate(timeout=120)
        finally:
            first.kill()
        assert "] stop toy rank 0" in seen
        assert first.returncode == 1, err
        assert failure(out)["code"] == "lease-lost"
        assert "roll back:" not in err
        assert ranks(toy) == served
        assert completed(toy.lab) == 2
    finally:
        toy.run("down", "--break-lock")


def test_kill_9_leaves_a_lease_that_is_named_and_can_be_broken(cluster: Cluster) -> None:
    first, _ = until(cluster, "read the nodes' facts", "up")
    first.kill()
    first.wait()
    assert f"(pid {first.pid})" in cluster.error("down")["data"]["who"]
    cluster.run("down", "--break-lock")
    assert cluster.traces() == {}


def test_fix_is_refused_while_another_command_changes_the_cluster(cluster: Cluster) -> None:
    cluster.on("spark-2", "ip link set enp1s0f0np0 mtu 1500")
    try:
        first, _ = until(cluster, "read the nodes' facts", "up")
        first.send_signal(signal.SIGSTOP)
        refused = cluster.error("doctor", "--fix", "--yes", "--check", "fabric.mtu")
        assert f"(pid {first.pid})" in refused["data"]["who"]
        assert "mtu 1500" in cluster.on("spark-2", "ip link show enp1s0f0np0")
        first.kill()
        first.wait()
    finally:
        cluster.on("spark-2", "ip link set enp1s0f0np0 mtu 9000")


def test_two_downs_at_once_end_without_a_traceback(cluster: Cluster) -> None:
    for node in ("spark-1", "spark-2"):
        cluster.on(node, "mkdir -p ~/.sparkctl/lab/logs/r && touch ~/.sparkctl/lab/logs/r/x.log")
    both = [cluster.start("down", "--json"), cluster.start("down", "--json")]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in both]
    assert 0 in [code for *_, code in ended]
    for out, err, code in ended:
        assert code == 0 or failure(out)["code"] == "locked", err


def test_down_works_on_a_full_disk(cluster: Cluster) -> None:
    """It makes room. Here the home is a separate file system, filled to the last byte."""
    small = "mkdir -p ~/.sparkctl && mount -t tmpfs -o size=64k tmpfs ~/.sparkctl"
    fill = "mkdir -p ~/.sparkctl/lab/logs/r; cat /dev/zero > ~/.sparkctl/lab/logs/r/x.log"
    cluster.on("spark-2", f"{small}; {fill}; true", check=False)
    try:
        refused = cluster.error("up")
        assert (refused["code"], refused["node"]) == ("lease-unwritten", "spark-2")
        assert "No space left on device" in refused["message"]  # the system's words
        assert cluster.on("spark-1", "ls -A ~/.sparkctl 2>/dev/null; true") == ""
        cluster.run("down")
        assert "x.log" not in cluster.on("spark-2", "find ~/.sparkctl")
    finally:
        cluster.on("spark-2", "umount ~/.sparkctl; rmdir ~/.sparkctl; true")
