"""Faults of the RDMA devices and of their PCIe links, in the node's imitated sysfs."""

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
INDEX, SHIFT = 3, 2  # of the RoCE v2 GID over IPv4 in a new table; how many slots it moves
LOST = ("packet_seq_err", "out_of_sequence")


def _rewrite(target: Target, path: str, text: str) -> None:
    write = ["sh", "-c", 'printf %s "$2" >"$1"', "sh", path]
    target.change([*write, text], [*write, target.read(path)])


def rewrite_rate(target: Target, half: HalfSpec, text: str) -> None:
    """Make a half's RDMA device report another rate."""
    _rewrite(target, f"/sys/{half.device_folder}/{RATE}", text)


# Renames the RDMA device in the PCI folder $1 with the uverbs device $2 from $3 to $4.
RENAME = """\
mv "/sys/$1/infiniband/$3" "/sys/$1/infiniband/$4"
rm "/sys/class/infiniband/$3"
ln -s "../../$1/infiniband/$4" "/sys/class/infiniband/$4"
echo "$4" >"/sys/$1/infiniband_verbs/uverbs$2/ibdev"
"""


def _rename(target: Target) -> None:
    set_everywhere(target, HCA, ",".join(DEVICES))
    rename = ["sh", "-ec", RENAME, "sh", FIRST.pci_folder, str(FIRST.index)]
    target.change([*rename, FIRST.hca, OTHER_NAME], [*rename, OTHER_NAME, FIRST.hca])


def _narrow(target: Target) -> None:
    for name in ("current_link_width", "max_link_width"):
        target.cover(f"/sys/{SECOND.pci_folder}/{name}", "2\n")


def _slow(target: Target) -> None:
    _rewrite(target, f"/sys/{SECOND.net_folder}/speed", "100000\n")
    rewrite_rate(target, SECOND, "100 Gb/sec (2X HDR)\n")


# Each value is replaced in one step, so that a reader sees the old or the new one.
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


def _lose_packets(target: Target) -> None:
    counters = f"/sys/{SECOND.device_folder}/{PORT}/hw_counters"
    copy = f"{target.folder}/hw_counters"
    target.run("cp", "--recursive", counters, copy)
    target.cover_by(counters, copy)
    target.start("python3", "-c", GROW, copy, *LOST)
    target.until(f"test $(cat {counters}/{LOST[-1]}) -gt 0")


def _hide_devices(target: Target) -> None:
    """DGX OS removes a NIC without a cable from the bus."""
    classes = [f"/sys/class/{name}" for name in ("infiniband", "infiniband_verbs")]
    devices = [
        f"/sys/{half.pci_folder}/{name}"
        for half in HALVES
        for name in ("infiniband", "infiniband_verbs")
    ]
    for folder in (*classes, *devices, "/dev/infiniband"):
        target.hide(folder)


# Exchanges the slots $2 and $3 of the GID table in $1.
EXCHANGE = """\
for table in gids gid_attrs/types gid_attrs/ndevs; do
    mv -T "$1/$table/$2" "$1/swap"
    mv -T "$1/$table/$3" "$1/$table/$2"
    mv -T "$1/swap" "$1/$table/$3"
done
"""


def _shift_gids(target: Target) -> None:
    """A link flap moves the IPv4 GIDs to higher slots."""
    set_everywhere(target, "NCCL_IB_GID_INDEX", str(INDEX))
    for slot in (INDEX, INDEX - 1):
        exchange = ["sh", "-ec", EXCHANGE, "sh", f"/sys/{SECOND.device_folder}/{PORT}"]
        exchange += [str(slot), str(slot + SHIFT)]
        target.change(exchange, exchange)


FAULTS = (
    Fault(
        "hca-renamed",
        f"the imitated {FIRST.hca} is called {OTHER_NAME} while NCCL_IB_HCA names {FIRST.hca}",
        _rename,
        touches=(f"rdma/{FIRST.hca}", INVENTORY),
    ),
    Fault(
        "pcie-width-2",
        f"the imitated PCIe link of {SECOND.interface} trained to 2 lanes",
        _narrow,
        touches=(f"pci/{SECOND.pci}/width",),
    ),
    Fault(
        "half-slow",
        f"{SECOND.interface} runs at 100 Gb/s (imitated)",
        _slow,
        touches=(f"{SECOND.interface}/state", f"rdma/{SECOND.hca}/rate"),
    ),
    Fault(
        "loss-counters",
        f"the imitated {SECOND.hca} loses packets: its counters grow",
        _lose_packets,
        touches=(f"rdma/{SECOND.hca}/counters",),
    ),
    Fault(
        "no-rdma",
        "the node's imitated RDMA devices are gone",
        _hide_devices,
        touches=("rdma", "uverbs"),
    ),
    Fault(
        "gid-index-hole",
        f"NCCL_IB_GID_INDEX={INDEX} is an empty slot of the imitated {SECOND.hca}",
        _shift_gids,
        touches=(f"rdma/{SECOND.hca}/gids", f"{SECOND.interface}/address", INVENTORY),
    ),
)
