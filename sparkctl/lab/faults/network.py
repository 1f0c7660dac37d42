"""Faults of links, addresses, cables and firewalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.devices import RATE, device, rewrite_rate
from sparkctl.lab.faults.fault import HEAD, INVENTORY, Fault
from sparkctl.lab.faults.inventory import set_cage
from sparkctl.lab.node import NETPLAN
from sparkctl.lab.spec import CABLED, HALVES, MTU, NodeSpec

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FIRST, SECOND = CABLED
LINK = SECOND.interface
RAY_PORT = 6379


def _address(node: NodeSpec) -> str:
    return f"{node.fabric_address(SECOND)}/24 dev {LINK}"


def _down(target: Target) -> None:
    target.change(f"ip link set {LINK} down", f"ip link set {LINK} up")


def _without_address(target: Target) -> None:
    address = _address(target.node)
    target.change(f"ip address delete {address}", f"ip address replace {address}")


def _one_subnet(target: Target) -> None:
    _without_address(target)
    address = f"{FIRST.subnet}.{110 + target.node.number}/24 dev {LINK}"
    target.change(f"ip address add {address}", f"ip address delete {address}")


def _volatile(target: Target) -> None:
    target.cover(NETPLAN, "network: {version: 2}\n", "0600")


def _mtu(target: Target) -> None:
    target.change(f"ip link set {LINK} mtu 1500", f"ip link set {LINK} mtu {MTU}")


# Until Linux 6.2 only a link that is down can be renamed. It keeps its addresses.
SWAP = """\
ip link set "$1" down
ip link set "$1" name swap
ip link set "$2" name "$1"
ip link set swap name "$2"
ip link set "$2" up
"""


def _other_cage(target: Target) -> None:
    """The cable's links get the names of the other cage's; the imitated sysfs follows."""
    set_cage(target, FIRST.cage)
    for here in CABLED:
        there = next(h for h in HALVES if h.pci[:4] == here.pci[:4] and h != here)
        plugged, unplugged = (target.read(device(h, RATE)) for h in (here, there))
        swap, names = ["sh", "-ec", SWAP, "sh"], [here.interface, there.interface]
        target.change([*swap, *names], [*swap, *reversed(names)])
        rewrite_rate(target, here, unplugged)
        rewrite_rate(target, there, plugged)


TABLE = "table inet sparkctl-lab-firewall"
DROP = f"""\
{TABLE} {{
    chain input {{
        type filter hook input priority 0
        iifname != "lo" tcp dport {RAY_PORT} drop
    }}
}}
"""


def _firewall(target: Target) -> None:
    rules = target.file("rules", DROP)
    target.change(f"nft --file {rules}", f"nft delete {TABLE}")


FAULTS = (
    Fault("half-down", f"{LINK} is down", _down, touches=(f"{LINK}/state",)),
    Fault(
        "half-without-address",
        f"{LINK} has lost its IPv4 address",
        _without_address,
        touches=(f"{LINK}/address",),
    ),
    Fault(
        "one-subnet",
        f"{LINK} has an address in the other half's subnet",
        _one_subnet,
        touches=(f"{LINK}/address",),
    ),
    Fault(
        "address-volatile",
        "no netplan file has the fabric's addresses: a reboot would lose them",
        _volatile,
        touches=("netplan",),
    ),
    Fault("mtu-1500", f"{LINK} has MTU 1500 and its peer {MTU}", _mtu, touches=(f"{LINK}/mtu",)),
    Fault(
        "other-cage",
        f"the cable is not in cage {FIRST.cage}, which the inventory names",
        _other_cage,
        touches=(*(h.interface for h in HALVES), "rdma", INVENTORY),
    ),
    Fault(
        "firewall",
        f"a firewall drops packets to port {RAY_PORT}",
        _firewall,
        touches=("nft",),
        node=HEAD,
    ),
)
