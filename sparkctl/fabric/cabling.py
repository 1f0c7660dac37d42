"""Which halves of two nodes face each other, and whether the chosen ones can talk; pure.

the wiring of a DGX Spark: pair by what the nodes say, never by names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface
from itertools import combinations

from sparkctl.fabric.selection import FabricChoice
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


def links(found: Mapping[str, Sequence[Half]]) -> list[Link]:
    """Every two halves of two nodes that face each other, in the order of the nodes and halves.

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
    """Whether a half is an end of any of these links."""
    return any((node, half) in link.ends for link in among)


def beside(mine: Half, theirs: Half) -> list[IPv4Address]:
    """The addresses of another node's half that are in a subnet of this one."""
    networks = [_parsed(own).network for own in mine.ipv4]
    found = (_parsed(address).ip for address in theirs.ipv4)
    return [ip for ip in found if any(ip in network for network in networks)]


def _common_subnet(one: Half, two: Half) -> str | None:
    for a in map(_parsed, one.ipv4):
        for b in map(_parsed, two.ipv4):
            if _see_each_other(a, b):
                return str(a.network)
    return None


@cache
def _parsed(address: str) -> IPv4Interface:
    """Every address is looked at with every other node's."""
    return IPv4Interface(address)


def _see_each_other(a: IPv4Interface, b: IPv4Interface) -> bool:
    return a.ip in b.network and b.ip in a.network


def check_pairing(choices: Mapping[str, FabricChoice]) -> list[tuple[str, str]]:
    """(node, problem) for every node whose choice does not fit the first one's or most nodes'.

    The socket interfaces belong in one subnet, the two halves of a node in two; every node uses
    as many RDMA devices as the others, and at least one. Which halves face each other is in
    wiring.py.
    """
    problems = []
    for name, choice in choices.items():
        problems += [(name, text) for text in _alone(choice)]
    first = next(iter(choices), "")
    for name, choice in choices.items():
        if name != first:
            problems += [(name, text) for text in _beside(first, choices[first], choice)]
    return problems + list(_uneven({n: c.hcas for n, c in choices.items() if c.hcas}))


def _alone(choice: FabricChoice) -> Iterator[str]:
    named = list(zip(choice.interfaces, map(_parsed, choice.addresses), strict=False))
    for (one, a), (two, b) in combinations(named, 2):
        if a.network.overlaps(b.network):
            yield f"both halves are in one subnet: {one} has {a}, {two} has {b}"
    if not choice.hcas:
        interfaces = ", ".join(choice.interfaces)
        yield f"no RDMA device belongs to {interfaces}: NCCL would use sockets, at a tenth"


def _beside(first: str, one: FabricChoice, two: FabricChoice) -> Iterator[str]:
    a, b = _parsed(one.addresses[0]), _parsed(two.addresses[0])
    theirs = {_parsed(address).ip for address in one.addresses}
    for address in map(_parsed, two.addresses):
        if address.ip in theirs:
            yield f"its address {address.ip} is also {first}'s: copied with its network settings?"
    if not _see_each_other(a, b):
        yield (
            f"its socket interface {two.interfaces[0]} ({b}) and {first}'s {one.interfaces[0]}"
            f" ({a}) are not in one subnet"
        )


def _uneven(hcas: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str]]:
    """The nodes with another number of RDMA devices than most; of two the one with fewer."""
    numbers = [len(names) for names in hcas.values()]
    usual = max(numbers, key=lambda n: (numbers.count(n), n), default=0)
    for name, names in hcas.items():
        if len(names) != usual:
            like, others = next((n, h) for n, h in hcas.items() if len(h) == usual)
            yield (
                name,
                (
                    f"it uses {len(names)} RDMA device{'s' if len(names) > 1 else ''}"
                    f" ({', '.join(names)}), {like} uses {usual} ({', '.join(others)})"
                ),
            )
