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

    from sparkctl.doctor.snapshot import View

ALONE = 32  # the prefix length of one address


def addressed(view: View, name: str) -> dict[str, str]:
    """The address of each interface of the choice, and of each other half: the first in
    fabric.subnets, or the first.
    """
    choice, wanted = view.choice(name), view.inventory.fabric.subnets
    found = dict(zip(choice.interfaces, choice.addresses, strict=True))
    for half in view.halves(name):
        if half.interface not in found and half.ipv4:
            inside = (a for a in half.ipv4 if wanted == "auto" or _inside(a, wanted))
            found[half.interface] = next(inside, half.ipv4[0])
    return found


def _inside(address: str, subnets: Iterable[IPv4Network]) -> bool:
    return any(IPv4Interface(address).ip in subnet for subnet in subnets)


def subnets(view: View, name: str) -> Iterator[Finding]:
    """The halves of a cable belong in two subnets, or one of them carries all traffic; nothing
    else of the node belongs in either.
    """
    cage = {h.interface for h in view.cage(name)}
    named = [(i, IPv4Interface(a)) for i, a in addressed(view, name).items() if i in cage]
    others = [
        (interface, IPv4Interface(address))
        for interface, net in known(view.facts(name).net).items()
        if net.up or interface in cage
        for address in net["ipv4"]
    ]
    clashes = set()
    for (one, a), (two, b) in product(named, others):
        if one == two or (two, one) in clashes or (one, two) in clashes:
            continue
        if two in cage and a.network.overlaps(b.network):
            clashes.add((one, two))
            yield _one_subnet(one, a, two, b)
        # A wider one does no harm, the longest prefix wins; nor does an address by itself.
        elif two not in cage and b.network.prefixlen < ALONE and b.network.subnet_of(a.network):
            clashes.add((one, two))
            yield _drawn_away(one, a, two, b)
    if not named:
        yield unknown("no half has an address, see fabric.addresses")
    elif not clashes:
        yield ok(", ".join(f"{interface} in {a.network}" for interface, a in named))


def _one_subnet(one: str, a: IPv4Interface, two: str, b: IPv4Interface) -> Finding:
    return fail(
        f"both halves are in one subnet: {one} has {a}, {two} has {b}",
        Evidence("two subnets", f"{a.network} and {b.network}", "ip address"),
        Remedy(f"on every node give {two} an address in another subnet, kept by netplan"),
    )


def _drawn_away(one: str, a: IPv4Interface, two: str, b: IPv4Interface) -> Finding:
    return warn(
        f"{two} has {b}, in the subnet of the half {one} ({a}): traffic to the peer may leave by"
        f" {two}",
        Evidence(f"{a.network} on {one} alone", f"{b} on {two}", "ip address"),
        Remedy(f"give {two} an address in another subnet, or take it off"),
    )
