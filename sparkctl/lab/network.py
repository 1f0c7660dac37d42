"""The lab's links: a management bridge, and one fabric cable of two halves."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import TYPE_CHECKING, Any

from sparkctl.errors import SparkctlError
from sparkctl.lab.spec import CABLED, HALVES, MANAGEMENT, MTU, HalfSpec, NodeSpec, prefix

if TYPE_CHECKING:
    from pathlib import Path

SUBNETS = 179  # from 10.77 to 10.255


def _ip(*argv: str, text: str = "") -> str:
    done = subprocess.run(["ip", *argv], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise SparkctlError(
            f"the lab's network: `ip {' '.join(argv)}` failed: {said}",
            hint="it needs all of root's capabilities, and a kernel with veth and bridge",
        )
    return done.stdout


def _batch(lines: list[str], netns: str | None = None) -> None:
    """Run ip(8) commands in one process; raises SparkctlError with ip's own words."""
    _ip(*(["-netns", netns] if netns else []), "-batch", "-", text="\n".join(lines) + "\n")


def _json(*argv: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_ip("-json", *argv) or "[]")
    return listed


def free_subnet(base: Path) -> str:
    """The first three octets of a /24 that no route of this machine touches.

    A lab that is made again in the same folder gets the same one: what still has its inventory
    must not send to another lab, or out of this machine.
    """
    taken = [
        ipaddress.ip_network(r["dst"], strict=False)
        for r in _json("-4", "route", "show")
        if r["dst"] != "default"
    ]
    return choose_subnet(taken, int(prefix(base)[3:], 16))


def choose_subnet(
    taken: list[ipaddress.IPv4Network | ipaddress.IPv6Network], start: int = 0
) -> str:
    """The first of 10.77.0.0/24, 10.78.0.0/24, … that overlaps none; its first three octets.

    The search begins at the one with the number `start`, and goes round.
    """
    for number in (77 + (start + step) % SUBNETS for step in range(SUBNETS)):
        subnet = f"10.{number}.0"
        if not any(ipaddress.ip_network(f"{subnet}.0/24").overlaps(t) for t in taken):
            return subnet
    raise SparkctlError(
        "no free 10.x.0.0/24 for the lab's management network", hint="see `ip route`"
    )


def make(nodes: list[NodeSpec]) -> None:
    """Namespaces, links and addresses of all nodes. Raises SparkctlError."""
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


def _end(node: NodeSpec, half: HalfSpec) -> str:
    return f"{half.interface} address {node.mac(half)} mtu {MTU} netns {node.netns}"


def _cable(left: NodeSpec, right: NodeSpec) -> list[str]:
    """A cable between two nodes: each half is a veth pair."""
    return [f"link add {_end(left, h)} type veth peer name {_end(right, h)}" for h in CABLED]


def _switch(nodes: list[NodeSpec]) -> list[str]:
    """A switch, in a namespace of its own: a bridge for each half."""
    lines = []
    for half in CABLED:
        bridge = f"half{half.index}"
        lines.append(f"link add {bridge} mtu {MTU} type bridge")
        for node in nodes:
            port = f"port{half.index}-{node.number}"
            lines += [
                f"link add {port} mtu {MTU} type veth peer name {_end(node, half)}",
                f"link set {port} master {bridge} up",
            ]
        lines.append(f"link set {bridge} up")
    return lines


def _inside(node: NodeSpec, *, cabled: bool) -> list[str]:
    lines = ["link set lo up", f"addr add {node.address}/24 dev {MANAGEMENT}"]
    lines += [f"link set {MANAGEMENT} up"]
    for cage in sorted({h.cage for h in HALVES}):
        first, second = (h for h in HALVES if h.cage == cage)
        if not (cabled and first in CABLED):
            # No cable: two links that lead to each other, and are left down.
            pair = (f"{h.interface} address {node.mac(h)}" for h in (first, second))
            lines.append("link add {} type veth peer name {}".format(*pair))
            continue
        for half in (first, second):
            lines.append(f"addr add {node.fabric_address(half)}/24 dev {half.interface}")
            lines.append(f"link set {half.interface} up")
    return [*lines, f"route add default via {node.management_subnet}.1"]


def remove(base: Path) -> list[str]:
    """Delete this lab's namespaces and links, whatever is there; gives their names."""
    ours = prefix(base)
    spaces = [n["name"] for n in _json("netns", "list") if n["name"].startswith(f"{ours}-")]
    # The kernel takes a namespace's links away some time after it: delete the ports ourselves.
    links = [n["ifname"] for n in _json("link", "show")]
    links = [n for n in links if n == ours or n.startswith(f"{ours}-")]
    for link in links:
        _ip("link", "delete", link)
    for space in spaces:
        _ip("netns", "delete", space)
    return [*spaces, *links]
