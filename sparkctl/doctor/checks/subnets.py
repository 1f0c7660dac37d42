"""Each half has a subnet of its own, and nothing else of the node is in it."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from itertools import product
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, fail, ok, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.doctor.snapshot import Snapshot

ONE_ADDRESS = 32  # the prefix length of an address without a subnet
Addressed = tuple[str, IPv4Interface]  # an interface and an address of it


def addressed(snapshot: Snapshot, name: str) -> dict[str, str]:
    """The address of each interface of the choice, and of each other half: the first in
    fabric.subnets, or the first.
    """
    choice, required = snapshot.choice(name), snapshot.inventory.fabric.subnets
    found = dict(zip(choice.interfaces, choice.addresses, strict=True))
    for half in snapshot.halves(name):
        if half.interface not in found and half.ipv4:
            inside = (a for a in half.ipv4 if required == "auto" or _inside(a, required))
            found[half.interface] = next(inside, half.ipv4[0])
    return found


def _inside(address: str, subnets: Iterable[IPv4Network]) -> bool:
    return any(IPv4Interface(address).ip in subnet for subnet in subnets)


def subnets(snapshot: Snapshot, name: str) -> Iterator[Finding]:
    """The halves of a cable belong in two subnets, or one of them carries all traffic; nothing
    else of the node belongs in either.
    """
    cage = {half.interface for half in snapshot.cage(name)}
    own = [(i, IPv4Interface(a)) for i, a in addressed(snapshot, name).items() if i in cage]
    clashes: dict[frozenset[str], Finding] = {}  # one for two interfaces
    for half, other in product(own, _every(snapshot, name, cage)):
        between = frozenset((half[0], other[0]))
        if len(between) > 1 and between not in clashes:
            clash = _clash(half, other, other[0] in cage)
            clashes |= {between: clash} if clash else {}
    yield from clashes.values()
    if not own:
        yield unknown("no half has an address, see fabric.addresses", code="address-missing")
    elif not clashes:
        yield ok(", ".join(f"{interface} in {a.network}" for interface, a in own))


def _every(snapshot: Snapshot, name: str, cage: set[str]) -> list[Addressed]:
    """All addresses of interfaces that are up, and of the cage's."""
    return [
        (interface, IPv4Interface(address))
        for interface, net in known(snapshot.facts(name).net).items()
        if net.up or interface in cage
        for address in net.ipv4
    ]


def _clash(half: Addressed, other: Addressed, other_is_half: bool) -> Finding | None:
    (one, a), (two, b) = half, other
    if other_is_half:
        return _one_subnet(one, a, two, b) if a.network.overlaps(b.network) else None
    # A wider subnet does no harm, as the longest prefix wins; nor does a single address.
    inside = b.network.prefixlen < ONE_ADDRESS and b.network.subnet_of(a.network)
    return _overlap(one, a, two, b) if inside else None


def _one_subnet(one: str, a: IPv4Interface, two: str, b: IPv4Interface) -> Finding:
    return fail(
        f"both halves are in one subnet: {one} has {a}, {two} has {b}",
        Evidence("two subnets", f"{a.network} and {b.network}", "ip address"),
        Remedy(f"on every node give {two} an address in another subnet, in netplan as well"),
        code="halves-share-subnet",
        data={"interfaces": [one, two], "addresses": [str(a), str(b)]},
    )


def _overlap(one: str, a: IPv4Interface, two: str, b: IPv4Interface) -> Finding:
    return warn(
        f"{two} ({b}) is in the subnet of the half {one} ({a}), so traffic to the peer may leave by"
        f" {two}",
        Evidence(f"{a.network} on {one} alone", f"{b} on {two}", "ip address"),
        Remedy(f"give {two} an address in another subnet, or remove this one"),
        code="subnet-overlap",
        data={"interface": two, "address": str(b), "half": one, "subnet": str(a.network)},
    )
