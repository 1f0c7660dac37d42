"""The fabric of some nodes: cages, halves, and which halves face each other; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparkctl.fabric.cabling import Link, facing, links
from sparkctl.fabric.gid import Gid, table, taken_index
from sparkctl.fabric.topology import Half, halves, pci_netdev
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Network

    from sparkctl.facts.groups import Interface, RdmaPort
    from sparkctl.facts.node import NodeFacts


@dataclass(frozen=True)
class Port:
    """A port of a half: `net` is the half's interface, `pcie` the one that has its PCIe link, and
    `gid_index` the slot that NCCL selects.
    """

    half: Half
    number: int
    port: RdmaPort
    net: Interface
    pcie: Interface
    gids: tuple[Gid, ...]
    gid_index: int

    def document(self) -> dict[str, Any]:
        """The port as JSON; part of the contract that scripts rely on."""
        return {
            "cage": self.half.cage,
            "hca": self.half.hca,
            "port": self.number,
            "interface": self.half.interface,
            "pci": self.half.pci,
            "state": self.port.state,
            "phys_state": self.port.phys_state,
            "rate": self.port.rate,
            "link_layer": self.port.link_layer,
            "mtu": self.half.mtu,
            "speed": self.net.speed,
            "ipv4": list(self.half.ipv4),
            "ipv6": list(self.net.ipv6),
            "pcie_width": self.pcie.pcie_width,
            "pcie_speed": self.pcie.pcie_speed,
            "gids": [gid.document() for gid in self.gids],
            "gid_index": self.gid_index,
        }


@dataclass(frozen=True)
class Node:
    """A node's ports by cage, and its RDMA devices that have no interface."""

    name: str
    ports: tuple[Port, ...]
    without_netdev: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The node as JSON."""
        return {
            "name": self.name,
            "halves": [port.document() for port in self.ports],
            "without_netdev": list(self.without_netdev),
        }


@dataclass(frozen=True)
class Diagram:
    """The nodes, their links, and the usable halves that face no other node's, with their node."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    alone: tuple[tuple[str, Half], ...]

    def document(self) -> dict[str, Any]:
        """The diagram as JSON; part of the contract that scripts rely on."""
        return {
            "nodes": [node.document() for node in self.nodes],
            "links": [
                {
                    "ends": [_end(*end) for end in link.ends],
                    "subnet": link.subnet,
                    "active": link.active,
                }
                for link in self.links
            ],
            "alone": [_end(*end) for end in self.alone],
        }


@dataclass(frozen=True)
class GidRule:
    """What a node's environment has NCCL select: NCCL_IB_GID_INDEX, and NCCL_IB_ADDR_RANGE."""

    pinned: int | None = None
    within: IPv4Network | None = None


FIRST = GidRule()  # of an environment that sets neither


def draw(facts: Mapping[str, NodeFacts], rules: Mapping[str, GidRule]) -> Diagram:
    """The diagram of these nodes."""
    found = {name: halves(node) for name, node in facts.items()}
    links_found = tuple(links(found))
    return Diagram(
        tuple(_node(name, found[name], facts[name], rules.get(name, FIRST)) for name in found),
        links_found,
        tuple(_alone(found, links_found)),
    )


def _node(name: str, found: tuple[Half, ...], facts: NodeFacts, rule: GidRule) -> Node:
    ports = tuple(port for half in found for port in _ports(half, facts, rule))
    without = known(facts.ib).keys() - {half.hca for half in found}
    return Node(name, ports, tuple(sorted(without)))


def _ports(half: Half, facts: NodeFacts, rule: GidRule) -> Iterator[Port]:
    """One for each port, of which a ConnectX-7 on Spark has one a device."""
    interfaces = known(facts.net)
    net, pcie = interfaces[half.interface], pci_netdev(half, interfaces)
    for number, port in known(facts.ib)[half.hca].ports.items():
        gids = tuple(table(port.gids))
        index = taken_index(gids, rule.pinned, rule.within)
        yield Port(half, int(number), port, net, pcie, gids, index)


def _alone(
    found: Mapping[str, tuple[Half, ...]], among: tuple[Link, ...]
) -> Iterator[tuple[str, Half]]:
    for name in found if len(found) > 1 else ():
        for half in found[name]:
            if half.usable and not facing(among, name, half):
                yield name, half


def _end(node: str, half: Half) -> dict[str, str]:
    return {"node": node, "hca": half.hca}
