"""Faults of the RDMA devices and of the PCIe links under them, in the node's imitated sysfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.faults.inventory import DEVICES, HCA, set_everywhere
from sparkctl.lab.spec import CABLED, HALVES, HalfSpec

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FIRST, SECOND = CABLED
RATE, PORT = "ports/1/rate", "ports/1"
OTHER_NAME = "mlx5_0"
INDEX, MOVED = 3, 2  # the GID of RoCE v2 over IPv4 in a fresh table; by how many slots it moves
LOST = ("packet_seq_err", "out_of_sequence")


def _rewrite(target: Target, path: str, text: str) -> None:
    write = ["sh", "-c", 'printf %s "$2" >"$1"', "sh", path]
    target.change([*write, text], [*write, target.read(path)])


def rewrite_rate(target: Target, half: HalfSpec, text: str) -> None:
    """Have a half's RDMA device say another rate."""
    _rewrite(target, f"/sys/{half.device_folder}/{RATE}", text)


# A device, its place in /sys, its uverbs device; from the name $3 to the name $4.
RENAME = """\
mv "/sys/$1/infiniband/$3" "/sys/$1/infiniband/$4"
rm "/sys/class/infiniband/$3"
ln -s "../../$1/infiniband/$4" "/sys/class/infiniband/$4"
echo "$4" >"/sys/$1/infiniband_verbs/uverbs$2/ibdev"
"""


def _renamed(target: Target) -> None:
    set_everywhere(target, HCA, ",".join(DEVICES))
    rename = ["sh", "-ec", RENAME, "sh", FIRST.pci_folder, str(FIRST.index)]
    target.change([*rename, FIRST.hca, OTHER_NAME], [*rename, OTHER_NAME, FIRST.hca])


def _narrow(target: Target) -> None:
    for name in ("current_link_width", "max_link_width"):
        target.cover(f"/sys/{SECOND.pci_folder}/{name}", "2\n")


def _slow(target: Target) -> None:
    _rewrite(target, f"/sys/{SECOND.net_folder}/speed", "100000\n")
    rewrite_rate(target, SECOND, "100 Gb/sec (2X HDR)\n")


# Each value is replaced in one step: a reader sees the old or the new.
GROW = """\
import itertools, os, sys, time
folder, *names = sys.argv[1:]
for value in itertools.count(7, 7):
    for name in names:
        with open(f"{folder}.new", "w") as file:
            print(value, file=file)
        os.replace(f"{folder}.new", f"{folder}/{name}")
    time.sleep(0.05)
"""


def _loss(target: Target) -> None:
    counters = f"/sys/{SECOND.device_folder}/{PORT}/hw_counters"
    copy = f"{target.folder}/hw_counters"
    target.run("cp", "--recursive", counters, copy)
    target.cover_by(counters, copy)
    target.start("python3", "-c", GROW, copy, *LOST)
    target.until(f"test $(cat {counters}/{LOST[-1]}) -gt 0")


def _gone(target: Target) -> None:
    """As DGX OS does when it takes a NIC without a cable off the bus."""
    classes = [f"/sys/class/{name}" for name in ("infiniband", "infiniband_verbs")]
    devices = [
        f"/sys/{half.pci_folder}/{name}"
        for half in HALVES
        for name in ("infiniband", "infiniband_verbs")
    ]
    for folder in (*classes, *devices, "/dev/infiniband"):
        target.hide(folder)


# Slot $2 of the table in $1 changes places with slot $3.
EXCHANGE = """\
for table in gids gid_attrs/types gid_attrs/ndevs; do
    mv -T "$1/$table/$2" "$1/swap"
    mv -T "$1/$table/$3" "$1/$table/$2"
    mv -T "$1/swap" "$1/$table/$3"
done
"""


def _hole(target: Target) -> None:
    """The GIDs of IPv4 have moved up, as they do on a link flap."""
    set_everywhere(target, "NCCL_IB_GID_INDEX", str(INDEX))
    for slot in (INDEX, INDEX - 1):
        exchange = ["sh", "-ec", EXCHANGE, "sh", f"/sys/{SECOND.device_folder}/{PORT}"]
        exchange += [str(slot), str(slot + MOVED)]
        target.change(exchange, exchange)


FAULTS = (
    Fault(
        "hca-renamed",
        f"{FIRST.hca} is called {OTHER_NAME}, and NCCL_IB_HCA is the same for all nodes",
        _renamed,
        touches=(f"rdma/{FIRST.hca}", INVENTORY),
    ),
    Fault(
        "pcie-width-2",
        f"the PCIe link of {SECOND.interface} has trained to two lanes",
        _narrow,
        touches=(f"pci/{SECOND.pci}/width",),
    ),
    Fault(
        "half-slow",
        f"{SECOND.interface} runs at 100 Gb/s",
        _slow,
        touches=(f"{SECOND.interface}/state", f"rdma/{SECOND.hca}/rate"),
    ),
    Fault(
        "loss-counters",
        f"{SECOND.hca} loses packets: its counters grow",
        _loss,
        touches=(f"rdma/{SECOND.hca}/counters",),
    ),
    Fault(
        "no-rdma",
        "the node has no RDMA device",
        _gone,
        touches=("rdma", "uverbs"),
    ),
    Fault(
        "gid-index-hole",
        f"NCCL_IB_GID_INDEX={INDEX} on all nodes, where {SECOND.hca} has an empty slot",
        _hole,
        touches=(f"rdma/{SECOND.hca}/gids", f"{SECOND.interface}/address", INVENTORY),
    ),
)
