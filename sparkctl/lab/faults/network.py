"""Faults of links, addresses, cables and firewalls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.lab.faults.devices import RATE, device, rewrite_rate
from sparkctl.lab.faults.fault import HEAD, INVENTORY, Fault
from sparkctl.lab.faults.inventory import set_cage
from sparkctl.lab.faults.scripts import EXCHANGE_LINKS, sh
from sparkctl.lab.node import NETPLAN
from sparkctl.lab.spec import CABLED, HALVES, MTU

if TYPE_CHECKING:
    from sparkctl.lab.faults.target import Target

FIRST, SECOND = CABLED
LINK = SECOND.interface
RAY_PORT = 6379


def _add(target: Target, address: str) -> None:
    do = f"ip address add {address} dev {LINK}"
    target.change(do, "address", address=address, interface=LINK, present=False)


def _down(target: Target) -> None:
    target.change(f"ip link set {LINK} down", "link-state", interface=LINK, up=True)


def _without_address(target: Target) -> None:
    address = f"{target.node.fabric_address(SECOND)}/24"
    do = f"ip address delete {address} dev {LINK}"
    target.change(do, "address", address=address, interface=LINK, present=True)


def _one_subnet(target: Target) -> None:
    _without_address(target)
    _add(target, f"{FIRST.subnet}.{110 + target.node.number}/24")


def _link_local(target: Target) -> None:
    _without_address(target)
    _add(target, f"169.254.7.{target.node.number}/16")


def _wrong_address(target: Target) -> None:
    _without_address(target)
    _add(target, f"192.168.107.{target.node.number}/24")


def _volatile(target: Target) -> None:
    target.cover(NETPLAN, "network: {version: 2}\n", "0600")


def _mtu(target: Target) -> None:
    target.change(f"ip link set {LINK} mtu 1500", "link-mtu", interface=LINK, mtu=MTU)


def _renamed(target: Target) -> None:
    """The halves exchange their names, with what they are connected to and their addresses."""
    _exchange(target, *(half.interface for half in CABLED))


def _exchange(target: Target, *names: str) -> None:
    index = int(target.run("ip", "-oneline", "link", "show", "dev", names[0]).partition(":")[0])
    do = sh(EXCHANGE_LINKS, *names, "none")
    target.change(do, "exchange-links", names=[*names], index=index)


def _other_cage(target: Target) -> None:
    """The cable's links get the names of the other cage's; the imitated sysfs follows."""
    set_cage(target, FIRST.cage)
    for here in CABLED:
        there = next(h for h in HALVES if h.pci[:4] == here.pci[:4] and h != here)
        plugged, unplugged = (target.read(device(h, RATE)) for h in (here, there))
        _exchange(target, here.interface, there.interface)
        rewrite_rate(target, here, unplugged)
        rewrite_rate(target, there, plugged)


FIREWALL = "sparkctl-lab-firewall"
DROP = f"""\
table inet {FIREWALL} {{
    chain input {{
        type filter hook input priority 0
        iifname != "lo" tcp dport {RAY_PORT} drop
    }}
}}
"""


def _firewall(target: Target) -> None:
    rules = target.file("rules", DROP)
    target.change(f"nft --file {rules}", "delete-rules", table=FIREWALL)


LOSSY = "sparkctl-lab-loss"
LOSS = f"table inet {LOSSY}"
LOST_PERCENT = 30


def loss_rules(percent: int) -> str:
    """What nft(8) reads to lose this share of what arrives on LINK; kernels may lack netem.

    Requests and answers are counted apart, so that each node's pings lose the same.
    """
    drop = f"numgen inc mod 10 < {percent // 10} drop"
    return f"""\
{LOSS} {{
    chain input {{
        type filter hook input priority 0
        iifname "{LINK}" icmp type echo-request {drop}
        iifname "{LINK}" icmp type echo-reply {drop}
        iifname "{LINK}" ip protocol != icmp {drop}
    }}
}}
"""


def _packet_loss(target: Target) -> None:
    rules = target.file("rules", loss_rules(LOST_PERCENT))
    target.change(f"nft --file {rules}", "delete-rules", table=LOSSY)


def _no_route(target: Target) -> None:
    source = target.node.fabric_address(SECOND)
    subnet = f"{SECOND.subnet}.0/24"
    route = f"{subnet} dev {LINK} proto kernel scope link src {source}"
    data = {"subnet": subnet, "interface": LINK, "source": source}
    target.change(f"ip route delete {route}", "route", **data)


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
        "link-local",
        f"{LINK} fell back to a link-local address, as after DHCP failed",
        _link_local,
        touches=(f"{LINK}/address",),
    ),
    Fault(
        "wrong-address",
        f"{LINK} has an address in a subnet that its peer is not in",
        _wrong_address,
        touches=(f"{LINK}/address",),
    ),
    Fault(
        "halves-renamed",
        f"{FIRST.interface} and {LINK} have exchanged their names",
        _renamed,
        touches=tuple(half.interface for half in CABLED),
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
    Fault(
        "packet-loss",
        f"{LINK} loses {LOST_PERCENT} % of the packets that arrive",
        _packet_loss,
        touches=(f"{LINK}/loss",),
    ),
    Fault(
        "no-route",
        f"the route to {LINK}'s subnet is missing",
        _no_route,
        touches=(f"{LINK}/route", f"{LINK}/state", f"{LINK}/address"),
    ),
)
