"""The imitated RDMA devices in a node's /sys, as text; pure, and the standard library alone.

It is the upper layer over a real sysfs, so that MTU, carrier and operstate are the kernel's own.
Paths and forms: Documentation/ABI/stable/sysfs-class-infiniband.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.lab.spec import CABLED, HALVES, HalfSpec, NodeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.lab.hardware import Hardware

EMPTY = "0000:0000:0000:0000:0000:0000:0000:0000"
# Reading it fails with EINVAL: the target of links for files that the real driver cannot read.
UNREADABLE = "devices/virtual/net/lo/speed"


@dataclass(frozen=True)
class Link:
    """A symbolic link to a path relative to /sys."""

    target: str


Entries = dict[str, str | Link]


@dataclass(frozen=True)
class LinkState:
    """A network device's state in the kernel: administratively up, carrier, IPv4 addresses."""

    mac: str
    up: bool
    carrier: bool
    ipv4: tuple[str, ...]


def write(root: Path, entries: Entries) -> None:
    """Write entries below `root`, each in one step; those that exist are replaced."""
    fresh = root / ".sparkctl-lab"
    # Left by a write that failed, for example because the network device was renamed.
    fresh.unlink(missing_ok=True)
    for folder in {name.rpartition("/")[0] for name in entries}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, value in entries.items():
        if isinstance(value, Link):
            fresh.symlink_to(os.path.relpath(value.target, Path(name).parent))
        else:
            fresh.write_text(value + "\n", encoding="ascii")
        fresh.replace(root / name)


def static(node: NodeSpec, *, cabled: bool) -> Entries:
    """The entries that do not change while the node runs."""
    entries: Entries = {}
    for half in HALVES:
        entries |= _device(node, half, plugged=cabled and half in CABLED)
        entries |= _function(node, half) if node.hardware.pci else _software(node, half)
    return entries


def _function(node: NodeSpec, half: HalfSpec) -> Entries:
    """The PCI function and its network, RDMA and verbs devices; one NIC has one image GUID."""
    pci, device = half.pci_folder, node.hardware.device_folder(half)
    return {
        f"{pci}/vendor": "0x15b3",
        f"{pci}/device": "0x1021",
        f"{pci}/current_link_speed": "32.0 GT/s PCIe",
        f"{pci}/current_link_width": "4",
        f"{pci}/max_link_speed": "32.0 GT/s PCIe",
        f"{pci}/max_link_width": "4",
        f"{pci}/net/{half.interface}": Link(half.net_folder),
        f"{half.net_folder}/device": Link(pci),
        f"{half.net_folder}/phys_port_name": f"p{half.cage}",
        f"{node.hardware.verbs_folder(half)}/device": Link(pci),
        f"{device}/device": Link(pci),
        f"{device}/fw_ver": "28.45.4028",
        f"{device}/node_guid": guid(node.mac(half)),
        f"{device}/sys_image_guid": guid(node.mac(HALVES[0])),
    }


def _software(node: NodeSpec, half: HalfSpec) -> Entries:
    """What only a device without a PCI function has: its network device's name, and no port's."""
    device, own = node.hardware.device_folder(half), eui64(node.mac(half))
    return {
        f"{half.net_folder}/phys_port_name": Link(UNREADABLE),
        f"{device}/parent": half.interface,
        f"{device}/node_guid": own,
        f"{device}/sys_image_guid": own,
    }


def _device(node: NodeSpec, half: HalfSpec, *, plugged: bool) -> Entries:
    """The RDMA device, its port, and its verbs device."""
    hardware = node.hardware
    device, verbs = hardware.device_folder(half), hardware.verbs_folder(half)
    port = f"{device}/ports/1"
    return {
        f"class/infiniband/{half.hca}": Link(device),
        f"class/infiniband_verbs/uverbs{half.index}": Link(verbs),
        f"{verbs}/ibdev": half.hca,
        f"{verbs}/dev": f"231:{192 + half.index}",
        f"{device}/node_type": "1: CA",
        f"{port}/link_layer": "Ethernet",
        f"{port}/rate": hardware.rate if plugged else hardware.rate_uncabled,
        **{f"{port}/{path}": "0" for path in hardware.counters},
    }


def speed(half: HalfSpec, state: LinkState) -> Entries:
    """The speed of a half's network device in Mb/s; unreadable while administratively down.

    It stays when the cable is unplugged.
    """
    return {f"{half.net_folder}/speed": "200000" if state.up else Link(UNREADABLE)}


def port(hardware: Hardware, half: HalfSpec, state: LinkState) -> Entries:
    """The state and the GID table of a half's RDMA device."""
    folder = f"{hardware.device_folder(half)}/ports/1"
    active = state.up and state.carrier
    inactive = "2: Polling" if state.up else "3: Disabled"
    entries: Entries = {
        f"{folder}/state": "4: ACTIVE" if active else "1: DOWN",
        f"{folder}/phys_state": "5: LinkUp" if active else inactive,
    }
    gids = ((gid, kind) for gid in _gids(state) for kind in hardware.gid_types)
    filled = dict(enumerate(gids))
    for slot in range(hardware.gid_slots):
        gid, kind = filled.get(slot, (EMPTY, None))
        entries[f"{folder}/gids/{slot}"] = gid
        for name, value in (("types", kind), ("ndevs", kind and half.interface)):
            entries[f"{folder}/gid_attrs/{name}/{slot}"] = value or Link(UNREADABLE)
    return entries


def guid(mac: str) -> str:
    """The EUI-64 GUID that mlx5 makes of a hardware address."""
    a, b, c, d, e, f = mac.split(":")
    return f"{a}{b}:{c}03:00{d}:{e}{f}"


def eui64(mac: str) -> str:
    """The modified EUI-64 of a hardware address (RFC 4291), as rxe's GUID and in each fe80 GID."""
    a, b, c, d, e, f = mac.split(":")
    return f"{int(a, 16) ^ 2:02x}{b}:{c}ff:fe{d}:{e}{f}"


def _gids(state: LinkState) -> Iterator[str]:
    """The GIDs in the drivers' order: link-local, then each IPv4."""
    yield f"fe80:0000:0000:0000:{eui64(state.mac)}"
    for address in state.ipv4:
        w, x, y, z = (int(part) for part in address.split("."))
        yield f"0000:0000:0000:0000:0000:ffff:{w:02x}{x:02x}:{y:02x}{z:02x}"
