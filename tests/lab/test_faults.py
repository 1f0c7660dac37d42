"""Each fault has its effect, and healing removes all of it."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.cli.lab import cache_folder
from sparkctl.lab import node as lab_node
from sparkctl.lab.faults import engine
from sparkctl.lab.faults.fault import HEAD, WORKER
from sparkctl.lab.faults.table import FAULTS
from tests.lab.cluster import BASE, Cluster
from tests.lab.nodestate import difference, on

if TYPE_CHECKING:
    from sparkctl.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.faults, pytest.mark.usefixtures("healed")]

IB, NET = "/sys/class/infiniband", "/sys/class/net"
SECOND, PORT = "enP2p1s0f0np0", f"{IB}/roceP2p1s0f0/ports/1"
OPEN = 'python3 -c \'open("/dev/infiniband/uverbs0", "r+b", 0)\' 2>&1; true'
LIBRARY = (
    "python3 -c 'import ctypes; ctypes.CDLL(\"libibverbs.so.1\")' 2>&1; ls /usr/lib/*/libibverbs"
)
SITE = f"{cache_folder()}/runtime/lib/python3*/site-packages"
FILL = "dd if=/dev/zero of=/tmp/more bs=1M count=1 2>&1; rm /tmp/more"
LOCK = "ulimit -l; grep CapEff /proc/self/status"
CLOCKS = "nvidia-smi --query-gpu=clocks.sm,utilization.gpu,power.draw --format=csv,noheader"
KERNEL = "cat /proc/sys/kernel/osrelease; grep CmaTotal /proc/meminfo"
LEFTOVER = "tr '\\0' '\\n' </proc/$(pgrep -f '^[V]LLM')/environ; ls ~/.sparkctl/lab"
# What a login over SSH runs on the fault's node, and what it then prints.
SEEN = {
    "half-down": (f"cat {NET}/{SECOND}/carrier {PORT}/state", "^0\n1: DOWN$"),
    "half-without-address": (f"ip -brief address show {SECOND}", r"UP\s+fe80"),
    "one-subnet": (f"ip -4 -brief address show {SECOND}", r"UP\s+192.168.100.112/24\s*$"),
    "link-local": (f"ip -4 -brief address show {SECOND}", r"UP\s+169.254.7.2/16\s*$"),
    "wrong-address": (f"ip -4 -brief address show {SECOND}", r"UP\s+192.168.107.2/24\s*$"),
    "halves-renamed": (
        f"ip -4 -brief address show {SECOND}; ping -q -c 1 -W 1 192.168.100.11",
        r"UP\s+192.168.100.12/24\s*\n(.|\n)* 0% packet loss",
    ),
    "mtu-1500": ("ping -q -c 1 -W 1 -M do -s 8972 192.168.101.12; true", "100% packet loss"),
    "other-cage": (
        f"cat {IB}/rocep1s0f[01]/ports/1/state {IB}/roceP2p1s0f[01]/ports/1/rate;"
        " ip -4 -brief address show enp1s0f1np1; ping -q -c 1 -W 1 192.168.101.11",
        r"^1: DOWN\n4: ACTIVE\n40 Gb.*\n200 Gb.*\nenp1s0f1np1\S*\s+UP +192.168.100.12/24(.|\n)* 0%",
    ),
    "firewall": (
        "timeout 1 bash -c '</dev/tcp/192.168.100.11/6379'; echo $?;"
        " bash -c '</dev/tcp/192.168.100.11/6380' 2>&1; true",
        "^124\n.*refused",
    ),
    "packet-loss": (
        "ping -q -c 50 -i 0.02 192.168.101.11; ping -q -c 9 -i 0.02 192.168.100.11",
        r"^50 packets transmitted, 35 received(.|\n)* 0% packet loss",
    ),
    "no-route": ("ip route get 192.168.101.11", "^192.168.101.11 via 10.* dev enP7s7"),
    "hca-renamed": (
        f"LC_ALL=C ls {IB}; cat {IB}/mlx5_0/ports/1/gid_attrs/ndevs/3"
        " /sys/class/infiniband_verbs/uverbs0/ibdev",
        "^mlx5_0\nroceP2p1s0f0\nroceP2p1s0f1\nrocep1s0f1\nenp1s0f0np0\nmlx5_0$",
    ),
    "pcie-width-2": (f"cat {NET}/{SECOND}/device/current_link_width", "^2$"),
    "half-slow": (f"cat {NET}/{SECOND}/speed {PORT}/rate", "^100000\n100 Gb"),
    "no-rdma": (f"ls {IB} /sys/class/infiniband_verbs /dev/infiniband | wc -w", "^3$"),
    "gid-index-hole": (
        f"cat {PORT}/gids/[35] {IB}/rocep1s0f0/ports/1/gids/3",
        "^(0000:){7}0000\n.*ffff:c0a8:650c\n.*ffff:c0a8:640c$",
    ),
    "uverbs-missing": (OPEN, "No such file"),
    "uverbs-denied": (OPEN, "Permission denied"),
    "memlock-64k": (LOCK, r"^64\nCapEff:\s\w+bfff$"),
    "memlock-later": (LOCK, r"^64\nCapEff:\s\w+bfff$"),
    "no-libibverbs": (LIBRARY, "cannot open shared object file.*No such file"),
    "address-volatile": ("cat /etc/netplan/60-fabric.yaml", "^network: {version: 2}$"),
    "nccl-conf": ("cat /etc/nccl.conf", "^NCCL_NET=Socket$"),
    "file-hangs": ("timeout 1 cat ~/.nccl.conf; echo $?", "^124$"),
    "ib-disabled-profile": ("env", "^NCCL_IB_DISABLE=1$"),
    "model-missing": (f"ls {BASE}/model 2>&1; true", "No such file"),
    "nccl-build": (f"grep -ao 'NCCL version .*+' {SITE}/nvidia/nccl/lib/libnccl.so.2", "2.28.9"),
    "nccl-graphs": (f"ls {SITE}", "^nvidia_nccl_cu13-2.28.9.dist-info$"),
    "disk-full": (FILL, "No space left"),
    "memory-low": ("free -m", r"^Mem: .* 1024$"),
    "kho-kernel": (KERNEL, "^7.0.0-1019-nvidia\nCmaTotal: +0 kB$"),
    "driver-590": ("nvidia-smi --query-gpu=driver_version --format=csv,noheader", r"^590\."),
    "driver-mismatch": ("nvidia-smi 2>&1; true", "version mismatch\nNVML library"),
    "no-nvidia-smi": ("nvidia-smi 2>&1; true", "not found"),
    "low-clocks": (CLOCKS, r"^611 MHz, 96 %, 24\.31 W$"),
    "gpu-spins": (CLOCKS, r"^2411 MHz, 96 %, 21\.85 W$"),
    "nvrm-no-memory": ("cat /dev/kmsg", "NVRM: .*NV_ERR_NO_MEMORY"),
    "dangling-links": (f"wc -c {BASE}/model/*.safetensors 2>&1; true", "No such file"),
    "gpu-hangs": ("timeout 1 nvidia-smi; echo $?", "^124$"),
    "port-taken": ("ss -Hltnp 'sport = :6379'", r'^LISTEN .*"python3"'),
    "foreign-ray": ("pgrep -a gcs_server; pgrep -xc raylet", "gcs_server_port=6399(.|\n)*^1$"),
    "leftover": (LEFTOVER, "^SPARKCTL_CLUSTER=lab/20260101-000000-dead(.|\n)*^applied.json$"),
}
# The node where it shows, if that is not the fault's: the other end of a link or connection.
SEEN_ON = {"half-down": HEAD, "mtu-1500": HEAD, "firewall": WORKER}
# A variable's value in the plan, and the nodes that have it.
VALUES = {
    "hca-netdev-name": ("NCCL_IB_HCA", "enp1s0f0np0,enP2p1s0f0np0", [WORKER]),
    "hca-space": ("NCCL_IB_HCA", "rocep1s0f0, roceP2p1s0f0", [WORKER]),
    "hca-quotes": ("NCCL_IB_HCA", '"rocep1s0f0,roceP2p1s0f0"', [WORKER]),
    "gid-index-hole": ("NCCL_IB_GID_INDEX", "3", [HEAD, WORKER]),
}
# Each of these has its own test below.
OTHERS = "loss-counters clock-skew ray-version model-truncated ssh-down ssh-slow host-key-changed"


def test_each_fault_has_a_test() -> None:
    idle = {name for name, fault in FAULTS.items() if fault.needs != "serving"}
    assert {*SEEN, *VALUES, *OTHERS.split()} == idle


@pytest.mark.parametrize("name", SEEN)
def test_a_fault_shows_on_its_node(cluster: Cluster, healthy: dict[str, Any], name: str) -> None:
    node, (command, expected) = SEEN_ON.get(name, FAULTS[name].node), SEEN[name]
    assert not re.search(expected, cluster.on(node, command, check=False), re.MULTILINE)
    engine.inject(BASE, name)
    assert re.search(expected, cluster.on(node, command), re.MULTILINE)
    engine.heal(BASE, name)
    assert difference(cluster.lab, healthy) == {}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_in_the_inventory(cluster: Cluster, healthy: dict[str, Any], name: str) -> None:
    variable, value, nodes = VALUES[name]
    engine.inject(BASE, name)
    planned = json.loads(cluster.run("env", "--json").stdout)
    found = {node: values.get(variable, {}).get("value") for node, values in planned.items()}
    assert [node for node in found if found[node] == value] == nodes
    engine.heal(BASE, name)
    assert difference(cluster.lab, healthy) == {}


def test_loss_grows_steadily(lab: Lab, healthy: dict[str, Any]) -> None:
    engine.inject(BASE, "loss-counters")
    counters = f"{PORT}/hw_counters"
    first = int(on(lab, WORKER, "cat", f"{counters}/packet_seq_err"))
    assert first > 0
    more = f"until [ $(cat {counters}/packet_seq_err) -gt {first} ]; do sleep 0.02; done"
    on(lab, WORKER, "timeout", "5", "sh", "-c", more)
    assert on(lab, WORKER, "cat", f"{counters}/roce_adp_retrans") == "0\n"
    engine.heal(BASE)
    assert difference(lab, healthy) == {}


def test_the_clock_is_fast_in_every_program(cluster: Cluster, healthy: dict[str, Any]) -> None:
    clocks = (
        "date +%s; python3 -c 'import time; print(int(time.time()))'; bash -c 'echo $EPOCHSECONDS';"
        "perl -e 'print time'; python3 -c 'import time; print(int(time.monotonic()))' >&2"
    )
    engine.inject(BASE, "clock-skew")
    begun = time.time()
    shown = [int(line) for line in cluster.on(WORKER, clocks).splitlines()]
    assert len(shown) == 4
    assert all(begun + 119 <= clock <= time.time() + 121 for clock in shown)
    assert abs(int(cluster.on(HEAD, "date +%s")) - time.time()) < 2
    engine.heal(BASE)
    assert difference(cluster.lab, healthy) == {}


def test_ray_reports_another_release_everywhere(cluster: Cluster, healthy: dict[str, Any]) -> None:
    venv = cache_folder() / "runtime"
    look = f"ls {venv}/lib/python3*/site-packages | grep '^ray-'; {venv}/bin/ray --version"
    engine.inject(BASE, "ray-version")
    (info, version), (other_info, other_version) = (
        cluster.on(node, look).splitlines() for node in (HEAD, WORKER)
    )
    major, minor, patch = version.rpartition(" ")[2].split(".")
    other = f"{major}.{minor}.{int(patch) + 1}"
    assert info != other_info == f"ray-{other}.dist-info"
    assert other_version == f"ray, version {other}"
    engine.heal(BASE)
    assert difference(cluster.lab, healthy) == {}


def test_half_of_a_shard_is_missing_on_one_node(lab: Lab, healthy: dict[str, Any]) -> None:
    shard = max((lab.base / "model").glob("*.safetensors"))
    whole = shard.stat().st_size
    engine.inject(BASE, "model-truncated")
    sizes = [int(on(lab, node, "stat", "-c", "%s", str(shard))) for node in (HEAD, WORKER)]
    assert sizes == [whole, whole // 2]
    assert shard.stat().st_size == whole
    engine.heal(BASE)
    assert difference(lab, healthy) == {}


def test_a_suspended_sshd_accepts_and_sends_nothing(lab: Lab, healthy: dict[str, Any]) -> None:
    engine.inject(BASE, "ssh-down")
    with socket.create_connection((lab.nodes[1].address, 22), timeout=1) as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(4)
    engine.heal(BASE)
    assert lab_node.ssh_answers(lab.nodes[1])
    assert difference(lab, healthy) == {}


def test_a_login_is_slow_and_succeeds(cluster: Cluster, healthy: dict[str, Any]) -> None:
    engine.inject(BASE, "ssh-slow")
    begun = time.monotonic()
    assert cluster.on(WORKER, "hostname") == "spark-2\n"
    assert 4 < time.monotonic() - begun < 9
    engine.heal(BASE)
    begun = time.monotonic()
    assert difference(cluster.lab, healthy) == {}
    assert time.monotonic() - begun < 4


def test_another_host_key_is_presented(cluster: Cluster, healthy: dict[str, Any]) -> None:
    engine.inject(BASE, "host-key-changed")
    with pytest.raises(AssertionError, match="IDENTIFICATION HAS CHANGED"):
        cluster.on(WORKER, "true")
    engine.heal(BASE)
    assert difference(cluster.lab, healthy) == {}


def test_a_wedged_engine_is_suspended_and_goes_on(lab: Lab, healthy: dict[str, Any]) -> None:
    """A process with the name of vLLM's; test_zz_serving_faults.py shows what the API does then."""
    stand_in = "setsid --fork bash -c 'exec -a VLLM::EngineCore sleep infinity' >/dev/null 2>&1"
    on(lab, HEAD, "sh", "-c", stand_in)
    find = "pgrep -f '^[V]LLM::EngineCore'"
    pid = on(lab, HEAD, "timeout", "5", "sh", "-c", f"until {find}; do sleep 0.02; done").strip()
    try:
        engine.inject(BASE, "api-wedged")
        assert on(lab, HEAD, "ps", "-o", "stat=", pid).startswith("T")
        engine.heal(BASE)
        assert on(lab, HEAD, "ps", "-o", "stat=", pid).startswith("S")
    finally:
        on(lab, HEAD, "kill", "-KILL", pid)
    on(lab, HEAD, "timeout", "5", "sh", "-c", f"while {find}; do sleep 0.02; done")
    assert difference(lab, healthy) == {}
