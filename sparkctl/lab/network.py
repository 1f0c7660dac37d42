"""The lab's links: a management bridge, and one fabric cable of two halves."""

from __future__ import annotations

import ipaddress
import json
import subprocess

from sparkctl.errors import SparkctlError
from sparkctl.lab.spec import BRIDGE, CABLED, HALVES, MANAGEMENT, MTU, SWITCH, NodeSpec


def batch(lines: list[str], netns: str | None = None) -> None:
    """Run ip(8) commands in one process.

    Raises SparkctlError with ip's own words when one fails.
    """
    argv = ["ip", *(["-netns", netns] if netns else []), "-batch", "-"]
    done = subprocess.run(
        argv, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise SparkctlError(
            f"the lab's network could not be made: {done.stderr.strip()}",
            hint="`sparkctl lab down` clears what is left of an earlier lab",
        )


def free_subnet() -> str:
    """The first three octets of a /24 that no route of this machine touches."""
    printed = subprocess.run(["ip", "-json", "route"], capture_output=True, text=True, check=True)
    taken = [
        ipaddress.ip_network(r["dst"], strict=False)
        for r in json.loads(printed.stdout)
        if r["dst"] != "default"
    ]
    for number in range(77, 256):
        subnet = f"10.{number}.0"
        if not any(ipaddress.ip_network(f"{subnet}.0/24").overlaps(t) for t in taken):
            return subnet
    raise SparkctlError(
        "no free 10.x.0.0/24 for the lab's management network", hint="see `ip route`"
    )


def make(nodes: list[NodeSpec]) -> None:
    """Namespaces, links and addresses of all nodes."""
    batch([f"netns add {n.netns}" for n in nodes])
    lines = [
        f"link add {BRIDGE} type bridge",
        f"addr add {nodes[0].management_subnet}.1/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for node in nodes:
        port = f"sparklab-{node.number}"
        lines += [
            f"link add {port} type veth peer name {MANAGEMENT} netns {node.netns}",
            f"link set {port} master {BRIDGE} up",
        ]
    batch([*lines, *(_cable(nodes) if len(nodes) <= 2 else _switch(nodes))])
    for node in nodes:
        batch(_inside(node, len(nodes)), node.netns)


def _cable(nodes: list[NodeSpec]) -> list[str]:
    """A cable between the two nodes: each half is a veth pair."""
    if len(nodes) < 2:
        return []
    left, right = (n.netns for n in nodes)
    return [
        f"link add {h.interface} mtu {MTU} netns {left} type veth"
        f" peer name {h.interface} mtu {MTU} netns {right}"
        for h in CABLED
    ]


def _switch(nodes: list[NodeSpec]) -> list[str]:
    """A switch: a bridge for each half in a namespace of its own."""
    batch([f"netns add {SWITCH}"])
    inside = []
    for index, half in enumerate(CABLED):
        inside.append(f"link add half{index} mtu {MTU} type bridge")
        inside += [
            f"link add port{index}-{n.number} mtu {MTU} type veth"
            f" peer name {half.interface} mtu {MTU} netns {n.netns}"
            for n in nodes
        ]
        inside += [f"link set port{index}-{n.number} master half{index} up" for n in nodes]
        inside.append(f"link set half{index} up")
    batch(inside, SWITCH)
    return []


def _inside(node: NodeSpec, count: int) -> list[str]:
    lines = ["link set lo up", f"addr add {node.address}/24 dev {MANAGEMENT}"]
    lines += [f"link set {MANAGEMENT} up"]
    for cage in {h.cage for h in HALVES}:
        members = [h for h in HALVES if h.cage == cage]
        if count < 2 or not members[0].subnet:
            # No cable: two links that lead to each other, and are left down.
            first, second = members
            lines.append(f"link add {first.interface} type veth peer name {second.interface}")
            continue
        for half in members:
            lines.append(f"addr add {node.fabric_address(half)}/24 dev {half.interface}")
            lines.append(f"link set {half.interface} up")
    return [*lines, f"route add default via {node.management_subnet}.1"]


def remove() -> list[str]:
    """Delete the lab's namespaces and bridge, whatever is there; gives their names."""
    listed = subprocess.run(["ip", "-json", "netns"], capture_output=True, text=True, check=True)
    names = [n["name"] for n in json.loads(listed.stdout or "[]")]
    ours = [n for n in names if n == SWITCH or n.startswith("sparkctl-spark-")]
    for name in ours:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    if subprocess.run(["ip", "link", "show", BRIDGE], capture_output=True, check=False).returncode:
        return ours
    subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
    return [*ours, BRIDGE]
