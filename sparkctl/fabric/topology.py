"""From sysfs facts to cages and their halves, whatever the devices are called; pure.

A cable shows as two netdevs and two RDMA devices on different PCI domains, because each QSFP port
reaches the GB10 through two PCIe links (the wiring of a DGX Spark).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.groups import Interface, RdmaDevice
    from sparkctl.facts.node import NodeFacts


@dataclass(frozen=True)
class Half:
    """One half of a cage: an RDMA device, its netdev, and what is known of the two."""

    hca: str
    interface: str
    cage: int
    pci: str | None
    active: bool
    ipv4: tuple[str, ...]
    mtu: int | None

    @property
    def usable(self) -> bool:
        """Whether RoCE can run over it: an ACTIVE port, and an IPv4 address for its GID."""
        return self.active and bool(self.ipv4)

    def __str__(self) -> str:
        state = "ACTIVE" if self.active else "not ACTIVE"
        return f"{self.hca} ({self.interface}) {state}, {', '.join(self.ipv4) or 'no IPv4'}"


def halves(facts: NodeFacts) -> tuple[Half, ...]:
    """Every RDMA device that has a netdev, by cage, then by PCI address.

    The pairing is the kernel's own: the device link, the shared PCI function, or the netdev of a
    GID (soft-RoCE). A port is alive by its state alone: GIDs, rate and speed outlive a pulled
    cable (Documentation/ABI/stable/sysfs-class-infiniband). Raises Missing where devices or
    interfaces could not be read.
    """
    found = []
    interfaces = known(facts.net)
    for hca, device in known(facts.ib).items():
        interface = _interface(device, interfaces)
        if interface is None:
            continue
        net = interfaces[interface]
        found.append(
            Half(
                hca=hca,
                interface=interface,
                cage=_cage(net.phys_port_name, device.pci or net.pci),
                pci=device.pci,
                active=any(p.state == "ACTIVE" for p in device.ports.values()),
                ipv4=net.ipv4,
                mtu=net.mtu,
            )
        )
    return tuple(sorted(found, key=lambda h: (h.cage, h.pci or "", h.hca)))


def _interface(device: RdmaDevice, net: Mapping[str, Interface]) -> str | None:
    named = [n for n in device.netdevs if n in net]
    if not named and device.pci:
        named = [n for n, v in net.items() if v.pci == device.pci]
    if not named:
        gids = [g for p in device.ports.values() for g in p.gids]
        named = [g.ndev for g in gids if g.ndev and g.ndev in net]
    return named[0] if named else None


def _cage(phys_port_name: str | None, pci: str | None) -> int:
    """phys_port_name is p0 or p1: the cage; else the PCI function; else the only one."""
    if match := re.fullmatch(r"p(\d+)", phys_port_name or ""):
        return int(match[1])
    if match := re.search(r"\.(\d)$", pci or ""):
        return int(match[1])
    return 0
