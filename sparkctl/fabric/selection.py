"""The part of a node's fabric that is used, and whether two nodes' parts fit; pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from sparkctl.fabric.cabling import in_common, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True)
class FabricSpec:
    """What the user fixed of a node's fabric; None is derived from what the node has."""

    node: str
    cage: int | None = None
    common_cage: int | None = None  # of all nodes; the values below win over it
    interfaces: tuple[str, ...] | None = None
    hcas: tuple[str, ...] | None = None
    addresses: tuple[IPv4Address, ...] | None = None
    subnets: tuple[IPv4Network, ...] | None = None


@dataclass(frozen=True)
class FabricChoice:
    """One cable's two halves on a node.

    `interfaces[0]` is the socket interface and `address` its IPv4; `hcas` are both halves' RDMA
    devices (empty where there is none), `addresses` each interface's IPv4 with its prefix length.
    """

    address: str
    interfaces: tuple[str, ...]
    hcas: tuple[str, ...]
    addresses: tuple[str, ...]


def check_pairing(choices: Mapping[str, FabricChoice]) -> list[tuple[str, str]]:
    """(node, problem) for every node whose choice does not fit the first one's or most nodes'.

    The socket interfaces belong in one subnet, the two halves of a node in two; every node uses
    as many RDMA devices as the others, and at least one. Which halves face each other is in
    cabling.py.
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
    named = list(zip(choice.interfaces, map(parsed, choice.addresses), strict=False))
    for (one, a), (two, b) in combinations(named, 2):
        if a.network.overlaps(b.network):
            yield f"both halves are in one subnet: {one} has {a}, {two} has {b}"
    if not choice.hcas:
        interfaces = ", ".join(choice.interfaces)
        yield f"no RDMA device belongs to {interfaces}: NCCL would use sockets, at a tenth"


def _beside(first: str, one: FabricChoice, two: FabricChoice) -> Iterator[str]:
    a, b = parsed(one.addresses[0]), parsed(two.addresses[0])
    theirs = {parsed(address).ip for address in one.addresses}
    for address in map(parsed, two.addresses):
        if address.ip in theirs:
            yield f"its address {address.ip} is also {first}'s: copied with its network settings?"
    if not in_common(a, b):
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
