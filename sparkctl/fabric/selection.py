"""The part of each node's fabric that is used, and whether these parts fit together; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from sparkctl.fabric.cabling import in_common, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network

    from sparkctl.errors import Data


@dataclass(frozen=True)
class FabricSpec:
    """What the inventory sets of a node's fabric; None is derived from what the node has."""

    node: str
    cage: int | None = None
    common_cage: int | None = None  # of all nodes; the values below override it
    interfaces: tuple[str, ...] | None = None
    hcas: tuple[str, ...] | None = None
    addresses: tuple[IPv4Address, ...] | None = None
    subnets: tuple[IPv4Network, ...] | None = None


@dataclass(frozen=True)
class FabricChoice:
    """One cable's two halves on a node.

    `interfaces[0]` is the socket interface and `address` its IPv4; `hcas` are both halves' RDMA
    devices (empty if there is none), `addresses` each interface's IPv4 with its prefix length.
    """

    address: str
    interfaces: tuple[str, ...]
    hcas: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Mismatch:
    """Why a node's choice does not fit another's; `code` is stable, `text` is not.

    The codes: halves-share-subnet, no-rdma-device, duplicate-address, socket-subnet, hca-count.
    """

    node: str
    code: str
    text: str
    data: Data = field(default_factory=dict, hash=False)


def check_pairing(choices: Mapping[str, FabricChoice]) -> list[Mismatch]:
    """Why the choices of nodes do not fit the first node's or most nodes'; empty if they fit.

    The socket interfaces belong in one subnet, the two halves of a node in two; every node uses
    as many RDMA devices as the others, and at least one. Which halves face each other is in
    cabling.py.
    """
    first = next(iter(choices), "")
    mismatches = [found for node, choice in choices.items() for found in _alone(node, choice)]
    for node, choice in choices.items():
        if node != first:
            mismatches += _against_first(first, choices[first], node, choice)
    return mismatches + list(_uneven({n: c.hcas for n, c in choices.items() if c.hcas}))


def _alone(node: str, choice: FabricChoice) -> Iterator[Mismatch]:
    addressed = list(zip(choice.interfaces, map(parsed, choice.addresses), strict=False))
    for (one, a), (two, b) in combinations(addressed, 2):
        if a.network.overlaps(b.network):
            text = f"both halves are in one subnet: {one} has {a}, {two} has {b}"
            yield Mismatch(node, "halves-share-subnet", text, {"interfaces": [one, two]})
    if not choice.hcas:
        interfaces = ", ".join(choice.interfaces)
        text = f"no RDMA device belongs to {interfaces}; NCCL would use TCP at a tenth of the speed"
        yield Mismatch(node, "no-rdma-device", text, {"interfaces": choice.interfaces})


def _against_first(
    first: str, one: FabricChoice, node: str, two: FabricChoice
) -> Iterator[Mismatch]:
    a, b = parsed(one.addresses[0]), parsed(two.addresses[0])
    taken = {parsed(address).ip for address in one.addresses}
    for ip in (parsed(address).ip for address in two.addresses):
        if ip in taken:
            text = f"duplicate address {ip}, also assigned on {first}"
            yield Mismatch(node, "duplicate-address", text, {"address": str(ip), "other": first})
    if not in_common(a, b):
        text = (
            f"its socket interface {two.interfaces[0]} ({b}) is not in the subnet of"
            f" {first}'s {one.interfaces[0]} ({a})"
        )
        yield Mismatch(node, "socket-subnet", text, {"address": str(b), "other": first})


def _uneven(hcas: Mapping[str, Sequence[str]]) -> Iterator[Mismatch]:
    """The nodes with another number of RDMA devices than most; of two the one with fewer."""
    counts = Counter(len(names) for names in hcas.values())
    usual = max(counts, key=lambda n: (counts[n], n), default=0)
    for node, names in hcas.items():
        if len(names) != usual:
            like, others = next((n, h) for n, h in hcas.items() if len(h) == usual)
            text = (
                f"it uses {len(names)} RDMA device{'s' if len(names) > 1 else ''}"
                f" ({', '.join(names)}), but {like} uses {usual} ({', '.join(others)})"
            )
            yield Mismatch(node, "hca-count", text, {"hcas": names, "usual": usual, "like": like})
