"""The part of each node's fabric that is used, and whether these parts fit together; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from sparkctl.fabric.cabling import in_common, parsed
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
    expected: str
    got: str
    data: Data = field(default_factory=dict, hash=False)


def check_pairing(
    choices: Mapping[str, FabricChoice], among: Mapping[str, FabricChoice] | None = None
) -> list[Mismatch]:
    """Why the choices of nodes do not fit the first node's or most nodes'; empty if they fit.

    The socket interfaces belong in one subnet, the two halves of a node in two; every node uses
    as many RDMA devices as the others, and at least one. Which halves face each other is in
    cabling.py. `among`, the choices of all nodes, shows which of two that do not fit is the odd
    one; without it these choices do.
    """
    first = next(iter(choices), "")
    every = {**(among or {}), **choices}
    mismatches = [found for node, choice in choices.items() for found in _alone(node, choice)]
    for node, choice in choices.items():
        if node != first:
            mismatches += _duplicates(first, choices[first], node, choice)
            if not _share(choice, choices[first]):
                mismatches.append(_apart(first, node, every))
    return mismatches + list(_uneven(choices, every))


def _alone(node: str, choice: FabricChoice) -> Iterator[Mismatch]:
    addressed = list(zip(choice.interfaces, map(parsed, choice.addresses), strict=False))
    for (one, a), (two, b) in combinations(addressed, 2):
        if a.network.overlaps(b.network):
            text = f"both halves are in one subnet: {one} has {a}, {two} has {b}"
            yield Mismatch(
                node, "halves-share-subnet", text, "2 subnets", "1", {"interfaces": [one, two]}
            )
    if not choice.hcas:
        interfaces = ", ".join(choice.interfaces)
        text = f"no RDMA device belongs to {interfaces}; NCCL would use TCP at a tenth of the speed"
        data = {"interfaces": choice.interfaces}
        yield Mismatch(node, "no-rdma-device", text, "an RDMA device", "none", data)


def _duplicates(first: str, one: FabricChoice, node: str, two: FabricChoice) -> Iterator[Mismatch]:
    taken = {parsed(a).ip: name for name, a in zip(one.interfaces, one.addresses, strict=True)}
    for interface, ip in zip(two.interfaces, (parsed(a).ip for a in two.addresses), strict=True):
        if ip in taken:
            text = f"duplicate address {ip} of {interface}, also assigned to {taken[ip]} on {first}"
            data: Data = {"address": str(ip), "interface": interface, "other": first}
            data = {**data, "other_interface": taken[ip]}
            yield Mismatch(node, "duplicate-address", text, f"{ip} on 1 interface", "on 2", data)


def _share(one: FabricChoice, two: FabricChoice) -> bool:
    return in_common(parsed(one.addresses[0]), parsed(two.addresses[0]))


def _apart(one: str, two: str, every: Mapping[str, FabricChoice]) -> Mismatch:
    """Two socket interfaces in two subnets: the odd one is that in the subnet of fewer nodes, or
    with a link-local address, which nobody configured; else the second is named.
    """
    shared = {n: sum(_share(every[n], c) for c in every.values()) for n in (one, two)}
    strange = {n: parsed(every[n].addresses[0]).is_link_local for n in (one, two)}
    odd = max((two, one), key=lambda n: (-shared[n], strange[n]))
    other = one if odd == two else two
    mine, theirs = every[odd].interfaces[0], every[other].interfaces[0]
    a, b = every[odd].addresses[0], every[other].addresses[0]
    text = f"{odd}'s socket interface {mine} ({a}) is not in the subnet of {other}'s {theirs} ({b})"
    if shared[odd] < shared[other]:
        text += f", which {shared[other]} nodes share"
    elif strange[odd] > strange[other]:
        text += "; a link-local address means that the interface is not configured"
    else:
        text += "; either address may be the wrong one"
    data: Data = {
        "interface": mine,
        "address": a,
        "other": other,
        "other_interface": theirs,
        "other_address": b,
        "certain": shared[odd] < shared[other] or strange[odd] > strange[other],
    }
    return Mismatch(odd, "socket-subnet", text, f"an address in the subnet of {b}", a, data)


def _uneven(
    choices: Mapping[str, FabricChoice], every: Mapping[str, FabricChoice]
) -> Iterator[Mismatch]:
    """The nodes with another number of RDMA devices than most; of two the one with fewer."""
    counts = Counter(len(choice.hcas) for choice in every.values() if choice.hcas)
    usual = max(counts, key=lambda n: (counts[n], n), default=0)
    used = {node: choice.hcas for node, choice in choices.items() if choice.hcas}
    uneven = len({len(names) for names in used.values()}) > 1
    for node, names in used.items() if uneven else ():
        if len(names) != usual:
            like, others = next((n, c.hcas) for n, c in every.items() if len(c.hcas) == usual)
            text = (
                f"it uses {counted(len(names), 'RDMA device')}"
                f" ({', '.join(names)}), but {like} uses {usual} ({', '.join(others)})"
            )
            data: Data = {"hcas": names, "usual": usual, "like": like}
            expected = counted(usual, "RDMA device")
            yield Mismatch(node, "hca-count", text, expected, str(len(names)), data)
