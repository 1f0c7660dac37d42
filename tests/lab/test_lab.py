"""The lab itself: what of it is real, and that `down` leaves nothing."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import lab as labs
from sparkctl.lab.faults import engine
from sparkctl.lab.spec import prefix
from tests.cli.test_completion import completed
from tests.lab.cluster import BASE, Cluster

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab


def test_nodes_are_hosts_of_their_own(cluster: Cluster) -> None:
    assert cluster.on("spark-1", "hostname") == "spark-1\n"
    assert "node_init" in cluster.on("spark-1", "cat /proc/1/cmdline")
    cluster.on("spark-1", "touch /root/only-here /tmp/only-here")
    assert cluster.on("spark-2", "ls /root/only-here /tmp/only-here 2>/dev/null; true") == ""
    cluster.on("spark-1", "rm /root/only-here /tmp/only-here")


@pytest.mark.parametrize("subnet", ["192.168.100", "192.168.101"])
def test_both_halves_carry_jumbo_frames_both_ways(cluster: Cluster, subnet: str) -> None:
    for node, peer in (("spark-1", 12), ("spark-2", 11)):
        cluster.on(node, f"ping -q -c 1 -W 2 -M do -s 8972 {subnet}.{peer}")


def test_imitated_sysfs_lets_the_kernels_own_values_through(cluster: Cluster) -> None:
    net = "/sys/class/net/enp1s0f0np0"
    assert cluster.on("spark-1", f"cat {net}/mtu {net}/speed").split() == ["9000", "200000"]
    cluster.on("spark-1", "ip link set enp1s0f0np0 mtu 1500")
    try:
        assert cluster.on("spark-1", f"cat {net}/mtu") == "1500\n"
    finally:
        cluster.on("spark-1", "ip link set enp1s0f0np0 mtu 9000")
    port = "/sys/class/infiniband/roceP2p1s0f0/ports/1"
    assert cluster.on("spark-1", f"cat {port}/state {port}/gids/3").splitlines() == [
        "4: ACTIVE",
        "0000:0000:0000:0000:0000:ffff:c0a8:650b",
    ]


def test_nvidia_smi_says_that_it_is_imitated(cluster: Cluster) -> None:
    assert "imitated" in cluster.on("spark-1", "nvidia-smi")
    query = "nvidia-smi --query-gpu=name,memory.total --format=csv,noheader"
    assert cluster.on("spark-1", query) == "NVIDIA GB10, [N/A]\n"


def test_a_second_lab_up_is_quick_and_changes_nothing(cluster: Cluster) -> None:
    before = [p.pid for p in labs.processes(BASE)]
    labs.up(2, BASE, cache_folder() / "runtime", cache_folder() / "lab", model=False)
    assert [p.pid for p in labs.processes(BASE)] == before


def test_plan_needs_no_runtime_and_changes_nothing(cluster: Cluster) -> None:
    before = cluster.on("spark-1", "ls -A ~")
    printed = cluster.run("plan").stdout
    assert "--node-ip-address 192.168.100.12" in printed
    assert "export NCCL_IB_HCA=rocep1s0f0,roceP2p1s0f0" in printed
    assert cluster.on("spark-1", "ls -A ~") == before


def test_env_names_each_values_layer(cluster: Cluster) -> None:
    lines = cluster.run("env", "spark-2").stdout.splitlines()
    assert any(x.startswith("VLLM_HOST_IP=192.168.100.12") and "# built-in" in x for x in lines)
    assert any(x.startswith("HF_HUB_OFFLINE=1") and "# inventory" in x for x in lines)


def test_the_labs_nodes_and_active_faults_complete(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARKCTL_LAB_DIR", str(BASE))
    assert completed(tmp_path, "sparkctl lab ssh ") == ["spark-1", "spark-2"]
    assert completed(tmp_path, "sparkctl lab heal ") == []
    engine.inject(BASE, "memory-low")
    try:
        assert completed(tmp_path, "sparkctl lab heal ") == ["memory-low"]
    finally:
        engine.heal(BASE)


def test_lab_down_after_a_crash_leaves_nothing(cluster: Cluster) -> None:
    first = next(p for p in labs.processes(BASE) if p.name() == "unshare")
    first.kill()
    first.wait(10)
    labs.down(BASE)
    try:
        assert labs.processes(BASE) == []
        assert not BASE.exists()
        shown = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
        assert prefix(BASE) not in shown
        assert prefix(BASE) not in subprocess.check_output(["ip", "link"], text=True)
        assert not [p for p in psutil.disk_partitions(all=True) if str(BASE) in p.mountpoint]
        assert labs.down(BASE) == []
    finally:
        cache = cache_folder()
        labs.up(2, BASE, cache / "runtime", cache / "lab", model=(cache / "runtime").exists())
