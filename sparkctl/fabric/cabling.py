"""Which halves of the nodes face each other, by their subnets and never by names; pure.

Ranks join the first HCA of one with the first of the other, the second with the second, whatever
subnets these are in, unless NCCL_IB_SUBNET_AWARE_ROUTING is set (from NCCL 2.30.7, its
src/transport/net_ib/connect.cc). HCAs that do not face each other end in errno 110, or hang.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from ipaddress import IPv4Address, IPv4Interface
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.fabric.topology import Half


@dataclass(frozen=True)
class Link:
    """Two halves of two nodes, each with the other's address in its own subnet."""

    ends: tuple[tuple[str, Half], tuple[str, Half]]  # node and half
    subnet: str

    @property
    def active(self) -> bool:
        """Whether both ports are alive."""
        return all(half.active for _, half in self.ends)


@dataclass(frozen=True)
class Astray:
    """A half without its peer, and the others with their nodes that face nobody either: the wrong
    address may be one of theirs.
    """

    node: str
    half: Half
    others: tuple[tuple[str, Half], ...] = ()


def links(found: Mapping[str, Sequence[Half]]) -> list[Link]:
    """The pairs of halves of two nodes that face each other, in the order of nodes and halves.

    On a switch a half faces many others; on one cable, its other end.
    """
    return [
        Link(((a, one), (b, two)), subnet)
        for a, b in combinations(found, 2)
        for one in found[a]
        for two in found[b]
        if (subnet := _common_subnet(one, two)) is not None
    ]


def facing(among: Sequence[Link], node: str, half: Half) -> bool:
    """Whether a half is an end of a link."""
    return any((node, half) in link.ends for link in among)


def reachable(mine: Half, theirs: Half) -> list[IPv4Address]:
    """The addresses of another node's half that are in a subnet of this one."""
    networks = [parsed(address).network for address in mine.ipv4]
    candidates = (parsed(address).ip for address in theirs.ipv4)
    return [ip for ip in candidates if any(ip in network for network in networks)]


def _common_subnet(one: Half, two: Half) -> str | None:
    for a in map(parsed, one.ipv4):
        for b in map(parsed, two.ipv4):
            if in_common(a, b):
                return str(a.network)
    return None


@cache
def parsed(address: str) -> IPv4Interface:
    """The address with its network; cached, as each is compared with every other node's."""
    return IPv4Interface(address)


def without_prefix(address: str) -> str:
    """The address alone, of one with its prefix length."""
    return address.partition("/")[0]


def in_common(a: IPv4Interface, b: IPv4Interface) -> bool:
    """Whether each address is in the other's subnet."""
    return a.ip in b.network and b.ip in a.network


def link_local(addresses: Sequence[str]) -> bool:
    """Whether there are addresses and all are link-local (RFC 3927): nobody configured them."""
    return bool(addresses) and all(parsed(address).is_link_local for address in addresses)


@dataclass(frozen=True)
class Wiring:
    """The halves with an address that each node uses for RDMA, by node.

    `complete`: every node of the cluster is included. Two nodes share a cable or a switch; among
    three or more without a switch, each half has one neighbour, which may be any node.
    """

    used: tuple[tuple[str, tuple[Half, ...]], ...]
    complete: bool = True

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The pairs of halves that face each other."""
        return tuple(links(self._nodes))

    @cached_property
    def _nodes(self) -> dict[str, tuple[Half, ...]]:
        return dict(self.used)

    @cached_property
    def _faced(self) -> dict[tuple[str, Half], set[str]]:
        found: dict[tuple[str, Half], set[str]] = {}
        for link in self.links:
            (a, one), (b, two) = link.ends
            found.setdefault((a, one), set()).add(b)
            found.setdefault((b, two), set()).add(a)
        return found

    @cached_property
    def _ends(self) -> set[tuple[tuple[str, Half], tuple[str, Half]]]:
        both = ((link.ends, link.ends[::-1]) for link in self.links)
        return {(a, b) for ends in both for a, b in ends}

    def halves(self, node: str) -> tuple[Half, ...]:
        """One node's halves."""
        return self._nodes.get(node, ())

    def faced(self, node: str, half: Half) -> set[str]:
        """The nodes that a half faces: at most one on a cable, any number on a switch."""
        return self._faced.get((node, half), set())

    @cached_property
    def free(self) -> bool:
        """Whether a half may face any node: three or more nodes, and no sign of a switch."""
        several = len(self.used) > 2 or not self.complete
        return several and all(len(nodes) == 1 for nodes in self._faced.values())

    def astray(self, one: str, two: str) -> list[Astray]:
        """The halves without their peer, of the node whose address is more likely wrong.

        The peer is the other node, or any node if the wiring is `free`. A half that faces a third
        node is right, a link-local one is not configured; of nodes alike it is the second.
        """
        sides = ((two, one), (one, two))
        found = {node: self._without_peer(node, other) for node, other in sides}

        def suspicion(side: tuple[str, str]) -> tuple[bool, bool, bool]:
            # Link-local halves of any nodes seem to face each other.
            strange = [link_local(h.ipv4) for h in found[side[0]]]
            alone = any(not self.faced(side[0], h) for h in found[side[0]])
            return bool(found[side[0]]), alone or any(strange), any(strange)

        node, other = max(sides, key=suspicion)
        return [Astray(node, half, self._others(node, other, half)) for half in found[node]]

    def _without_peer(self, node: str, other: str) -> list[Half]:
        faced = ((half, self.faced(node, half)) for half in self.halves(node))
        return [half for half, nodes in faced if not (nodes if self.free else other in nodes)]

    def _others(self, node: str, other: str, half: Half) -> tuple[tuple[str, Half], ...]:
        """The halves that face nobody either, where this half does not."""
        names = [n for n in self._nodes if n != node] if self.free else [other]
        return tuple(
            (name, h)
            for name in names
            for h in self.halves(name)
            if not self.faced(node, half)
            and not self.faced(name, h)
            and (link_local(h.ipv4) or not link_local(half.ipv4))
        )

    def apart(self, one: str, two: str) -> bool:
        """Whether no half of one node faces a half of the other."""
        return not any(two in self.faced(one, half) for half in self.halves(one))

    def joined(self, one: str, two: str) -> bool:
        """Whether a chain of links connects two nodes, directly or through other nodes."""
        reached, pending = {one}, [one]
        while pending:
            node = pending.pop()
            new = {n for half in self.halves(node) for n in self.faced(node, half)} - reached
            reached |= new
            pending += new
        return two in reached

    def crossed(self, one: str, two: str) -> list[tuple[Half, Half]]:
        """The pairs of HCAs that ranks join by their order, and that do not face each other."""
        pairs = zip(_by_pci(self.halves(one)), _by_pci(self.halves(two)), strict=False)
        return [(a, b) for a, b in pairs if ((one, a), (two, b)) not in self._ends]

    def misplaced(self, one: str, two: str) -> str:
        """Of two nodes whose HCAs are crossed the one that more nodes are crossed with; of equals
        the one that is crossed with the first node, else the second.
        """
        first, *_ = self._nodes

        def crossings(node: str) -> tuple[int, bool]:
            others = (name for name in self._nodes if name != node)
            return sum(bool(self.crossed(node, n)) for n in others), bool(self.crossed(first, node))

        return max((two, one), key=crossings)

    def twins(self, one: str, two: str) -> Iterator[tuple[Half, str]]:
        """The second node's halves with an address that the first node has too."""
        first = {without_prefix(a) for half in self.halves(one) for a in half.ipv4}
        for half in self.halves(two):
            yield from ((half, without_prefix(a)) for a in half.ipv4 if without_prefix(a) in first)

    def doubled(self, node: str) -> bool:
        """Whether two halves of a node share a subnet: subnets then do not show who faces whom."""
        return any(
            reachable(a, b) or reachable(b, a) for a, b in combinations(self.halves(node), 2)
        )


def _by_pci(halves: tuple[Half, ...]) -> list[Half]:
    """NCCL's order of devices from 2.29.7 on; before that it was the verbs list's.

    Software devices, which have no PCI address, keep theirs (topology.py).
    """
    return sorted(halves, key=lambda h: h.pci or "")
