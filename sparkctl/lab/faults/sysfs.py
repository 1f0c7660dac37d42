"""Faults of the imitated ConnectX-7: what its sysfs and its device files say."""

from __future__ import annotations

from sparkctl.lab.faults.fault import Fault, Inventory

FIRST = "enp1s0f0np0"
PCI = "/sys/devices/pci0000:00/0000:01:00.0"
SPEED = f"/sys/devices/virtual/net/{FIRST}/speed"
LOSS = "$(port rocep1s0f0)/hw_counters/packet_seq_err"


def _pinned_names(inventory: Inventory, _node: str) -> None:
    names = "rocep1s0f0,roceP2p1s0f0"
    inventory.setdefault("env", {}).setdefault("set", {})["NCCL_IB_HCA"] = names


def _cage_0(inventory: Inventory, _node: str) -> None:
    inventory["fabric"] = {"cage": 0}


def _pinned_gid(inventory: Inventory, _node: str) -> None:
    inventory.setdefault("env", {}).setdefault("set", {})["NCCL_IB_GID_INDEX"] = "3"


SWAP_SLOTS = """
for folder in gids gid_attrs/types gid_attrs/ndevs; do
    cd "$(port roceP2p1s0f0)/$folder"
    mv 3 swapped; mv 5 3; mv swapped 5
done
"""

# The cage is what phys_port_name says; to be read, a netdev need not be renamed.
SWAP_CAGES = """
for link in enp1s0f enP2p1s0f; do
    cd /sys/devices/virtual/net
    mv ${link}0np0/phys_port_name swapped
    mv ${link}1np1/phys_port_name ${link}0np0/phys_port_name
    mv swapped ${link}1np1/phys_port_name
done
"""

FAULTS = (
    Fault(
        "other-cage",
        "the cable is in cage 1 of this node, the inventory says cage 0",
        SWAP_CAGES,
        SWAP_CAGES,
        inventory=_cage_0,
    ),
    Fault(
        "hca-renamed",
        "an HCA is called mlx5_0 on this node, the env layer names rocep1s0f0 for all",
        "mv /sys/class/infiniband/rocep1s0f0 /sys/class/infiniband/mlx5_0;"
        " echo mlx5_0 >/sys/class/infiniband_verbs/uverbs0/ibdev",
        "mv /sys/class/infiniband/mlx5_0 /sys/class/infiniband/rocep1s0f0;"
        " echo rocep1s0f0 >/sys/class/infiniband_verbs/uverbs0/ibdev",
        inventory=_pinned_names,
    ),
    Fault(
        "gid-index-hole",
        "NCCL_IB_GID_INDEX is pinned, and the entry has moved on this node's second half",
        SWAP_SLOTS,
        SWAP_SLOTS,
        inventory=_pinned_gid,
    ),
    Fault(
        "pcie-width-2",
        "the first half's PCIe link has trained to two lanes",
        f"echo 2 >{PCI}/current_link_width",
        f"echo 4 >{PCI}/current_link_width",
    ),
    Fault(
        "half-slow",
        "the first half runs at 100 Gb/s",
        f"echo 100000 >{SPEED}",
        f"echo 200000 >{SPEED}",
    ),
    Fault(
        "loss-counters",
        "packets are lost all the time: a counter grows",
        f"daemon sh -c 'while :; do echo $(($(cat {LOSS}) + 1)) >{LOSS}; sleep 0.02; done';"
        f" await '[ \"$(cat {LOSS})\" -gt 0 ]'".replace("$(port rocep1s0f0)",
        "/sys/class/infiniband/rocep1s0f0/ports/1"),
        f"end_daemons; echo 0 >{LOSS}",
    ),
    Fault(
        "no-rdma",
        "no RDMA device: the cable is out, and the NIC off the bus",
        "mount -t tmpfs none /sys/class/infiniband",
        "unlay /sys/class/infiniband",
    ),
    Fault(
        "uverbs-missing",
        "the uverbs devices are not there, as in a container without --device",
        "mount -t tmpfs none /dev/infiniband",
        "unlay /dev/infiniband",
    ),
    Fault(
        "uverbs-denied",
        "the uverbs devices may not be opened",
        "mount -t tmpfs -o nodev none /dev/infiniband;"
        " for i in 0 1 2 3; do mknod -m 666 /dev/infiniband/uverbs$i c 1 3; done",
        "unlay /dev/infiniband",
    ),
    Fault(
        "no-libibverbs",
        "rdma-core's libibverbs is broken",
        'over /dev/null "$(readlink -f /usr/lib/*/libibverbs.so.1)"',
        'unlay "$(readlink -f /usr/lib/*/libibverbs.so.1)"',
    ),
)  # fmt: skip
