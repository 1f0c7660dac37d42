"""From sysfs facts to cages and their halves, whatever the devices are called; pure.

A cable shows as two netdevs and two RDMA devices on different PCI domains, because each QSFP port
reaches the GB10 through two PCIe links (the wiring of a DGX Spark).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.facts.groups import Interface, RdmaDevice, RdmaPort
    from sparkctl.facts.node import NodeFacts

# domain:bus:device.function; soft-RoCE has none, and a scalable function another name there.
PCI_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# The physical functions of a NIC with two ports; virtual functions come after them.
PHYSICAL = re.compile(r".*:00\.([01])")
PORT_NAME = re.compile(r"p(\d+)")
# systemd.net-naming-scheme(7): P and the PCI domain if it is not 0, and at the end n and the
# phys_port_name; what follows the dot is a VLAN's number.
DOMAIN = re.compile(r"[a-z]+P(\d+)")
NAMED_PORT = re.compile(r".*\dnp(\d+)(\.\d+)?")
PER_CAGE = 2  # halves


@dataclass(frozen=True)
class Half:
    """One half of a cage: an RDMA device and its netdev; `pci` is None for a software device."""

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

    @property
    def idle(self) -> bool:
        """Whether nobody uses it: a port that is not ACTIVE, without an IPv4 address."""
        return not self.active and not self.ipv4

    @property
    def physical(self) -> bool:
        """Whether it is a NIC's own port: no virtual function, no soft-RoCE."""
        return PHYSICAL.fullmatch(self.pci or "") is not None

    def __str__(self) -> str:
        state = "ACTIVE" if self.active else "not ACTIVE"
        return f"{self.hca} ({self.interface}) {state}, {', '.join(self.ipv4) or 'no IPv4'}"


def halves(facts: NodeFacts) -> tuple[Half, ...]:
    """The RDMA devices that have a netdev, by cage, then by PCI address or the netdev's name.

    Devices whose cage is not known, as virtual functions, share one after the last. A cage has two
    halves: of more, those that are DOWN without an address share another, as do such ports of
    another NIC than the used one's. Only its state shows that a port is alive: GIDs, rate and speed
    outlive a pulled cable (Documentation/ABI/stable/sysfs-class-infiniband). Raises Missing if
    devices or interfaces could not be read.
    """
    interfaces, devices = known(facts.net), known(facts.ib)
    linked = {hca: _netdevs(device, interfaces) for hca, device in devices.items()}
    netdevs = {hca: names for hca, names in linked.items() if names}
    cages = {h: _cage(devices[h], interfaces[names[0]]) for h, names in netdevs.items()}
    if all(cage is None for cage in cages.values()):
        cages = {h: _named(devices[h], n[0], interfaces[n[0]]) for h, n in netdevs.items()}
    last = _after(cage for cage in cages.values() if cage is not None)
    found = [
        _half(hca, devices[hca], last if cage is None else cage, netdevs[hca], interfaces)
        for hca, cage in cages.items()
    ]
    return tuple(sorted(_in_pairs(found, devices), key=_order))


def main_port(device: RdmaDevice) -> tuple[str, RdmaPort]:
    """The number and facts of a device's first ACTIVE port, else of its first."""
    active = ((number, p) for number, p in device.ports.items() if p.state == "ACTIVE")
    return next(active, next(iter(device.ports.items())))


def pci_netdev(half: Half, interfaces: Mapping[str, Interface]) -> Interface:
    """The netdev of a half's PCI function, which has the PCIe link; a VLAN over it has none."""
    functions = (net for net in interfaces.values() if half.pci and net.pci == half.pci)
    return next(functions, interfaces[half.interface])


def _half(
    hca: str,
    device: RdmaDevice,
    cage: int,
    netdevs: Sequence[str],
    interfaces: Mapping[str, Interface],
) -> Half:
    # A VLAN over the port carries the addresses where the port itself has none.
    addressed = (name for name in netdevs if interfaces[name].ipv4)
    interface = next(addressed, netdevs[0])
    return Half(
        hca=hca,
        interface=interface,
        cage=cage,
        pci=_pci(device),
        active=any(port.state == "ACTIVE" for port in device.ports.values()),
        ipv4=interfaces[interface].ipv4,
        mtu=interfaces[interface].mtu,
    )


def _netdevs(device: RdmaDevice, interfaces: Mapping[str, Interface]) -> list[str]:
    """The netdevs that the kernel links a device to, or of its PCI function; then its GIDs'.

    A device with two ports is one half, that of its first ACTIVE port: the netdevs of its GIDs.
    """
    linked = list(device.netdevs)
    own = {slot.ndev or "": None for slot in main_port(device)[1].gids}
    if len(device.ports) > 1 and not interfaces.keys().isdisjoint(own):
        return [name for name in own if name in interfaces]
    if device.pci and interfaces.keys().isdisjoint(linked):
        linked = [name for name, net in interfaces.items() if net.pci == device.pci]
    slots = (slot for port in device.ports.values() for slot in port.gids)
    every = dict.fromkeys([*linked, *(slot.ndev or "" for slot in slots)])
    return [name for name in every if name in interfaces]


def _cage(device: RdmaDevice, net: Interface) -> int | None:
    """The number in phys_port_name (p0, p1), else the PCI function's; None for a virtual device."""
    if device.pci is None:
        return None
    match = PORT_NAME.fullmatch(net.phys_port_name or "") or PHYSICAL.fullmatch(device.pci)
    return int(match[1]) if match else None


def _named(device: RdmaDevice, netdev: str, net: Interface) -> int | None:
    """The number of the port that a software device runs over, in phys_port_name or the name.

    It is not asked where a NIC has RDMA devices of its own: soft-RoCE is no half of its cages. An
    RDMA device's name says nothing here, as a software device has the one its user gave it.
    """
    if _pci(device) is not None:
        return None
    match = PORT_NAME.fullmatch(net.phys_port_name or "") or NAMED_PORT.fullmatch(netdev)
    return int(match[1]) if match else None


def _in_pairs(found: Sequence[Half], devices: Mapping[str, RdmaDevice]) -> Iterator[Half]:
    """The halves, the idle ones of a cage with more than two in a cage of their own; there too an
    idle port of another NIC than the used one's. All ports of a Spark's NIC share its GUID.
    """
    spare = _after(half.cage for half in found)
    for half in found:
        cage = [other for other in found if other.cage == half.cage]
        used = {devices[h.hca].guid if h.physical else None for h in cage if not h.idle}
        own = devices[half.hca].guid
        foreign = half.physical and own is not None and not used & {own, None}
        apart = bool(used) and (len(cage) > PER_CAGE or foreign)
        yield replace(half, cage=spare) if apart and half.idle else half


def _after(cages: Iterable[int]) -> int:
    return max(cages, default=-1) + 1


def _order(half: Half) -> tuple[int, str, int, str]:
    """Software devices are in the order of the PCI domains in their netdevs' names."""
    domain = DOMAIN.match(half.interface)
    return half.cage, half.pci or "", int(domain[1]) if domain else 0, half.hca


def _pci(device: RdmaDevice) -> str | None:
    return device.pci if device.pci and PCI_ADDRESS.fullmatch(device.pci) else None
