"""Faults of the cable: halves, addresses, MTU, firewalls."""

from __future__ import annotations

from sparkctl.lab.faults.fault import Fault

FIRST, SECOND = "enp1s0f0np0", "enP2p1s0f0np0"
SECOND_HCA = "roceP2p1s0f0"


def _await_gid(address: str, hca: str, *, gone: bool = False) -> str:
    """Shell that waits until the GID of an IPv4 address is in the table, or gone from it."""
    return (
        f"gid=$(printf '%02x%02x:%02x%02x' $(echo {address} | tr . ' '));"
        f' await "{"! " if gone else ""}grep -q $gid $(port {hca})/gids/2"'
    )


OWN = "192.168.101.$((10 + NUMBER))"
STRAY = "192.168.100.$((100 + NUMBER))"


FIREWALL = "from all iif enp1s0f0np0 ipproto tcp dport 6379 blackhole"

FAULTS = (
    Fault(
        "half-down",
        "the second half is administratively down",
        f"ip link set {SECOND} down; await 'grep -q DOWN $(port {SECOND_HCA})/state'",
        f"ip link set {SECOND} up; await 'grep -q ACTIVE $(port {SECOND_HCA})/state'",
    ),
    Fault(
        "half-without-address",
        "the second half has lost its address, as after a reboot without netplan",
        f"ip address del {OWN}/24 dev {SECOND}; {_await_gid(OWN, SECOND_HCA, gone=True)}",
        f"ip address add {OWN}/24 dev {SECOND}; {_await_gid(OWN, SECOND_HCA)}",
    ),
    Fault(
        "one-subnet",
        "both halves have addresses in one subnet, as a published script sets them",
        f"ip address del {OWN}/24 dev {SECOND}; ip address add {STRAY}/24 dev {SECOND};"
        f" {_await_gid(STRAY, SECOND_HCA)}",
        f"ip address del {STRAY}/24 dev {SECOND}; ip address add {OWN}/24 dev {SECOND};"
        f" {_await_gid(OWN, SECOND_HCA)}",
    ),
    Fault(
        "mtu-1500",
        "the first half is back at MTU 1500 on one end",
        f"ip link set {FIRST} mtu 1500",
        f"ip link set {FIRST} mtu 9000",
    ),
    Fault(
        "firewall",
        "a firewall drops what comes to Ray's port over the fabric",
        f"ip rule add pref 5 lookup local; ip rule del pref 0; ip rule add pref 1 {FIREWALL}",
        f"ip rule del pref 1 {FIREWALL}; ip rule add pref 0 lookup local; ip rule del pref 5",
        node="spark-1",
    ),
)
