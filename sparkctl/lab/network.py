"""The lab's links: a management bridge, and one fabric cable of two halves."""

from __future__ import annotations

import ipaddress
import subprocess
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.lab import iproute
from sparkctl.lab.spec import CABLED, HALVES, MANAGEMENT, MTU, HalfSpec, NodeSpec, prefix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SUBNETS = 179  # from 10.77 to 10.255


def _ip(*argv: str, text: str = "") -> str:
    done = subprocess.run(["ip", *argv], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        why = done.stderr.strip() or f"exit status {done.returncode}"
        raise SparkctlError(
            f"cannot change the lab's network: `ip {' '.join(argv)}` failed: {why}",
            hint="the lab needs all capabilities of root, and a kernel with veth and bridge",
            code="lab-network-failed",
        )
    return done.stdout


def _batch(lines: list[str], netns: str | None = None) -> None:
    """Run ip(8) commands in one process; raises SparkctlError with ip's message."""
    _ip(*(["-netns", netns] if netns else []), "-batch", "-", text="\n".join(lines) + "\n")


def free_subnet(base: Path) -> str:
    """The first three octets of a /24 that overlaps no route of this machine.

    A lab made again in the same folder gets the same subnet if it is still free: an inventory of
    the lab before must not lead to another lab, or out of this machine.
    """
    taken = [
        ipaddress.ip_network(destination, strict=False)
        for destination in iproute.destinations(_ip("-json", "-4", "route", "show"))
        if destination != "default"
    ]
    return choose_subnet(taken, int(prefix(base)[3:], 16))


def choose_subnet(taken: Sequence[Network], start: int = 0) -> str:
    """The first three octets of the first of 10.77.0.0/24, 10.78.0.0/24, … that overlaps none.

    The search begins at the one with the number `start`, and wraps around. Raises SparkctlError.
    """
    for number in (77 + (start + step) % SUBNETS for step in range(SUBNETS)):
        subnet = f"10.{number}.0"
        if not any(ipaddress.ip_network(f"{subnet}.0/24").overlaps(t) for t in taken):
            return subnet
    raise SparkctlError(
        "no free 10.x.0.0/24 for the lab's management network",
        hint="`ip route` shows which are in use",
        code="lab-no-subnet",
    )


def make(nodes: list[NodeSpec]) -> None:
    """Make the namespaces, links and addresses of all nodes. Raises SparkctlError."""
    bridge = prefix(nodes[0].base)
    _batch([f"netns add {n.netns}" for n in nodes])
    lines = [
        f"link add {bridge} type bridge",
        f"addr add {nodes[0].management_subnet}.1/24 dev {bridge}",
        f"link set {bridge} up",
    ]
    for node in nodes:
        lines += [
            f"link add {node.netns} type veth peer name {MANAGEMENT} netns {node.netns}",
            f"link set {node.netns} master {bridge} up",
        ]
    if len(nodes) == 2:
        lines += _cable(*nodes)
    _batch(lines)
    if len(nodes) > 2:
        switch = f"{bridge}-switch"
        _batch([f"netns add {switch}"])
        _batch(_switch(nodes), switch)
    for node in nodes:
        _batch(_inside(node, cabled=len(nodes) > 1), node.netns)


def _cable_end(node: NodeSpec, half: HalfSpec) -> str:
    return f"{half.interface} address {node.mac(half)} mtu {MTU} netns {node.netns}"


def _cable(left: NodeSpec, right: NodeSpec) -> list[str]:
    """A cable between two nodes: each half is a veth pair."""
    ends = ((_cable_end(left, h), _cable_end(right, h)) for h in CABLED)
    return [f"link add {one} type veth peer name {other}" for one, other in ends]


def _switch(nodes: list[NodeSpec]) -> list[str]:
    """A switch, in a namespace of its own: a bridge for each half."""
    lines = []
    for half in CABLED:
        bridge = f"half{half.index}"
        lines.append(f"link add {bridge} mtu {MTU} type bridge")
        for node in nodes:
            port = f"port{half.index}-{node.number}"
            lines += [
                f"link add {port} mtu {MTU} type veth peer name {_cable_end(node, half)}",
                f"link set {port} master {bridge} up",
            ]
        lines.append(f"link set {bridge} up")
    return lines


def _inside(node: NodeSpec, *, cabled: bool) -> list[str]:
    lines = ["link set lo up", f"addr add {node.address}/24 dev {MANAGEMENT}"]
    lines += [f"link set {MANAGEMENT} up"]
    for cage in sorted({h.cage for h in HALVES}):
        halves = [h for h in HALVES if h.cage == cage]
        if cabled and halves[0] in CABLED:
            for half in halves:
                lines.append(f"addr add {node.fabric_address(half)}/24 dev {half.interface}")
                lines.append(f"link set {half.interface} up")
        else:
            # No cable: the two links are a veth pair of their own, and stay down.
            pair = (f"{h.interface} address {node.mac(h)}" for h in halves)
            lines.append("link add {} type veth peer name {}".format(*pair))
    return [*lines, f"route add default via {node.management_subnet}.1"]


def remove(base: Path) -> list[str]:
    """Delete this lab's namespaces and links, however many there are; gives their names."""
    own = prefix(base)
    spaces = iproute.namespaces(_ip("-json", "netns", "list"))
    spaces = [name for name in spaces if name.startswith(f"{own}-")]
    # The kernel deletes a namespace's links some time after it: the ports are deleted here.
    links = list(iproute.links(_ip("-json", "link", "show")))
    links = [name for name in links if name == own or name.startswith(f"{own}-")]
    for link in links:
        _ip("link", "delete", link)
    for space in spaces:
        _ip("netns", "delete", space)
    return [*spaces, *links]
