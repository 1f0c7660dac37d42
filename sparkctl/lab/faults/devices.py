"""Faults of the RDMA devices and of their PCIe links, in the node's imitated sysfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.fault import INVENTORY, Fault
from sparkctl.lab.faults.inventory import DEVICES, HCA, set_everywhere
from sparkctl.lab.faults.scripts import EXCHANGE_GIDS, RENAME_DEVICE, WRITE, sh
from sparkctl.lab.hardware import SOFT_ROCE
from sparkctl.lab.spec import CABLED, HALVES, HalfSpec

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FIRST, SECOND = CABLED
RATE, PORT = "ports/1/rate", "ports/1"
OTHER_NAME = "mlx5_0"
GID_INDEX = "NCCL_IB_GID_INDEX"
SHIFT = 2  # how many slots a GID moves


def _rewrite(target: Target, path: str, text: str) -> None:
    target.change(sh(WRITE, path, text), "write", path=path, text=target.read(path))


def device(half: HalfSpec, path: str) -> str:
    """The path of a file of a half's RDMA device, on whatever hardware."""
    return f"/sys/class/infiniband/{half.hca}/{path}"


def rewrite_rate(target: Target, half: HalfSpec, text: str) -> None:
    """Make a half's RDMA device report another rate."""
    _rewrite(target, device(half, RATE), text)


def _rename(target: Target) -> None:
    set_everywhere(target, HCA, ",".join(DEVICES))
    hardware = target.node.hardware
    folder = hardware.device_folder(FIRST).rpartition("/")[0]
    verbs = hardware.verbs_folder(FIRST)
    rename = sh(RENAME_DEVICE, folder, verbs, FIRST.hca, OTHER_NAME)
    undo = {"folder": folder, "verbs": verbs, "name": OTHER_NAME, "to": FIRST.hca}
    target.change(rename, "rename-device", **undo)


def _narrow(target: Target) -> None:
    for name in ("current_link_width", "max_link_width"):
        target.cover(f"/sys/{SECOND.pci_folder}/{name}", "2\n")


def _slow(target: Target) -> None:
    _rewrite(target, f"/sys/{SECOND.net_folder}/speed", "100000\n")
    rewrite_rate(target, SECOND, f"{target.node.hardware.rate_slow}\n")


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
    counters, lost = device(SECOND, f"{PORT}/hw_counters"), target.node.hardware.lost[:2]
    copy = f"{target.folder}/hw_counters"
    target.run("cp", "--recursive", counters, copy)
    target.cover_by(counters, copy)
    target.start("python3", "-c", GROW, copy, *lost)
    target.until(f"test $(cat {counters}/{lost[-1]}) -gt 0")


def _hide_devices(target: Target) -> None:
    """DGX OS removes a NIC without a cable from the bus."""
    classes = [f"/sys/class/{name}" for name in ("infiniband", "infiniband_verbs")]
    hardware = target.node.hardware
    devices = [f(half) for half in HALVES for f in (hardware.device_folder, hardware.verbs_folder)]
    folders = dict.fromkeys(f"/sys/{path.rpartition('/')[0]}" for path in devices)
    for folder in (*classes, *folders, "/dev/infiniband"):
        target.hide(folder)


def _shift_gids(target: Target) -> None:
    """A link flap moves the IPv4 GIDs to higher slots.

    A new table has the link-local GIDs, then the IPv4's, of which RoCE v2 is the last.
    """
    types = len(target.node.hardware.gid_types)
    index = 2 * types - 1
    set_everywhere(target, GID_INDEX, str(index))
    for slot in range(index, index - types, -1):
        port, slots = device(SECOND, PORT), [slot, slot + SHIFT]
        exchange = sh(EXCHANGE_GIDS, port, *map(str, slots), "")
        gid = target.read(f"{port}/gids/{slot}").strip()
        target.change(exchange, "exchange-gids", port=port, slots=slots, gid=gid)


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
        impossible={SOFT_ROCE.name: "a software device has no PCIe link"},
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
        f"{GID_INDEX} is an empty slot of the imitated {SECOND.hca}",
        _shift_gids,
        touches=(f"rdma/{SECOND.hca}/gids", f"{SECOND.interface}/address", INVENTORY),
    ),
)
