"""A node's network, RDMA devices and memory, read from sysfs and iproute2.

sysfs paths and their quirks: Documentation/ABI/stable/sysfs-class-infiniband.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import jsontext

if TYPE_CHECKING:
    from sparkctl.node.subprocesses import Started
    from sparkctl.node.wire import Answer


TIMEOUT = 5.0  # seconds for ip(8), which takes some milliseconds
NET = Path("/sys/class/net")
IB = Path("/sys/class/infiniband")
PAGE = 4096  # bytes, more than any file of sysfs has
EMPTY_GID = "0000:0000:0000:0000:0000:0000:0000:0000"


def text(path: Path) -> str | None:
    """A sysfs file's content; None if it is absent or cannot be read (EINVAL)."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def number(path: Path) -> int | None:
    """A sysfs file's whole number; None if it has none."""
    value = text(path)
    return int(value) if value is not None and value.lstrip("-").isdigit() else None


def _pci(path: Path) -> str | None:
    return path.resolve().name if path.exists() else None


def interfaces(started: Started) -> dict[str, Answer]:
    """Each network interface: MTU, state, speed in Mb/s, PCI link, addresses.

    `started` is `ip -json address show`; raises OSError if it fails.
    """
    links = map(jsontext.table, jsontext.rows(jsontext.load(started.finish(TIMEOUT))))
    named = ((jsontext.text(link.get("ifname", "")), link) for link in links)
    return {name: _interface(NET / name, link) for name, link in named if name}


def _interface(path: Path, link: Answer) -> Answer:
    return {
        "mtu": link.get("mtu"),
        "up": "UP" in jsontext.rows(link.get("flags", [])),
        "operstate": text(path / "operstate"),
        "carrier": number(path / "carrier"),
        "speed": number(path / "speed"),
        "address": link.get("address"),
        "phys_port_name": text(path / "phys_port_name"),
        "pci": _pci(path / "device"),
        "pcie_speed": text(path / "device/current_link_speed"),
        "pcie_width": text(path / "device/current_link_width"),
        "ipv4": _addresses(link, "inet"),
        "ipv6": _addresses(link, "inet6"),
    }


def _addresses(link: Answer, family: str) -> list[str]:
    listed = map(jsontext.table, jsontext.rows(link.get("addr_info", [])))
    return [f"{item['local']}/{item['prefixlen']}" for item in listed if item["family"] == family]


def rdma_devices() -> dict[str, Answer]:
    """Each RDMA device: its netdevs, PCI function, and ports with state, rate and GIDs."""
    if not IB.is_dir():
        return {}
    return {path.name: _device(path) for path in sorted(IB.iterdir())}


def _device(path: Path) -> Answer:
    net = path / "device/net"
    netdevs = sorted(p.name for p in net.iterdir()) if net.is_dir() else []
    if not netdevs and (parent := text(path / "parent")):
        netdevs = [parent]  # soft-RoCE has no device link
    return {
        "netdevs": netdevs,
        "pci": _pci(path / "device"),
        "guid": text(path / "sys_image_guid"),
        "ports": {port.name: _port(port) for port in sorted((path / "ports").glob("*"))},
    }


def _port(path: Path) -> Answer:
    return {
        "state": _after_colon(text(path / "state")),
        "phys_state": _after_colon(text(path / "phys_state")),
        "rate": text(path / "rate"),
        "link_layer": text(path / "link_layer"),
        "gids": _gids(path),
    }


def _after_colon(value: str | None) -> str | None:
    return value.partition(":")[2].strip() if value and ":" in value else value


def _gids(port: Path) -> list[Answer]:
    """The filled slots of the GID table; types and ndevs are read for those alone.

    A table has 256 slots, one file each: opening them from their folder takes three calls a slot.
    """
    found: list[Answer] = []
    folder = os.open(port / "gids", os.O_RDONLY)
    try:
        for slot in sorted(filter(str.isdigit, os.listdir(folder)), key=int):
            gid = _slot(folder, slot)
            if gid and gid != EMPTY_GID:
                found.append(
                    {
                        "index": int(slot),
                        "gid": gid,
                        "type": text(port / "gid_attrs/types" / slot),
                        "ndev": text(port / "gid_attrs/ndevs" / slot),
                    }
                )
    finally:
        os.close(folder)
    return found


def _slot(folder: int, name: str) -> str | None:
    try:
        file = os.open(name, os.O_RDONLY, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(file, PAGE).decode(errors="replace").strip()
    except OSError:
        return None
    finally:
        os.close(file)


def memory() -> dict[str, int]:
    """/proc/meminfo in bytes: GB10's memory is unified, nvidia-smi prints [N/A]."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree", "CmaTotal"):
            found[name] = int(rest.split()[0]) * 1024
    return found
