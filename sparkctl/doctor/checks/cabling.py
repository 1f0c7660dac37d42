"""Who faces whom among the halves of all nodes, and what two nodes' halves lack."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sparkctl.doctor.finding import Evidence, Finding, fail, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import Wiring, beside
from sparkctl.fabric.ncclparam import number
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import View
    from sparkctl.fabric.topology import Half

BY_SUBNET = "NCCL_IB_SUBNET_AWARE_ROUTING"


def wiring(view: View) -> Wiring:
    """The halves of every node's chosen HCAs; of a node without a choice, all that are usable."""
    used = tuple((name, _used(view, name)) for name in view.reached if _halves(view, name))
    return _wiring(used, len(used) == len(view.inventory.nodes))


_wiring = lru_cache(maxsize=4)(Wiring)  # every pair of many nodes asks for the same


def _halves(view: View, name: str) -> tuple[Half, ...]:
    try:
        return view.halves(name)
    except Missing:
        return ()


def _used(view: View, name: str) -> tuple[Half, ...]:
    hcas = view.choice(name).hcas if view.choice_error(name) is None else None
    found = (h for h in view.halves(name) if h.ipv4)
    return tuple(h for h in found if (h.usable if hcas is None else h.hca in hcas))


def facing(view: View, found: Wiring, one: str, two: str, *, quiet: bool) -> Iterator[Finding]:
    """What is wrong between two nodes' halves; with `quiet` only what surely is."""
    if found.doubled(one) or found.doubled(two):
        return  # fabric.subnets tells
    for half, ip in found.twins(one, two):
        if half.interface not in view.choice(two).interfaces:  # of these check_pairing tells
            yield fail(
                f"its address {ip} is also {one}'s: copied with its network settings?",
                Evidence("another address on each node", f"{ip} on both", "ip address"),
                Remedy(f"give {half.interface} another address of the same subnet"),
                node=two,
            )
    astray = found.astray(one, two)
    for name, half in astray:
        if half.interface != view.choice(name).interfaces[0]:  # check_pairing tells of sockets
            yield _astray(found, one if name == two else two, name, half)
    if astray or quiet:
        return
    if not found.apart(one, two):
        yield from _crossed(view, found, one, two)
    elif found.joined(one, two):
        yield warn(
            f"no cable joins {one} and {two}: RDMA does not pass through the nodes between",
            Evidence("a common subnet", "other nodes between", f"ip address on {one} and {two}"),
            Remedy("a cable from each node to each other one, which is three nodes at most, or a"
                   " switch; else an NCCL that is made for rings, and NCCL_ALGO=Ring"),
            node=two,
        )  # fmt: skip
    elif found.complete:
        yield fail(
            f"no half of {one} shares a subnet with one of {two}, nor does a node between them",
            Evidence("a common subnet on each half", "none", f"ip address on {one} and {two}"),
            Remedy("give each half the subnet of the halves that it faces"),
            node=two,
        )
    else:
        yield unknown(f"whether a way leads from {one} to {two}: not all nodes are known", node=two)


def _astray(found: Wiring, other: str, name: str, half: Half) -> Finding:
    address = ", ".join(half.ipv4)
    whose = "any other node's" if found.free else f"{other}'s"
    what = f"its half {half.interface} ({address}) is in no subnet of {whose} halves"
    if found.free and not found.complete:
        return unknown(f"{what} as far as they are known", node=name)
    theirs = ", ".join(a for n, halves in found.used if n != name and (found.free or n == other)
                       for h in halves for a in h.ipv4)  # fmt: skip
    return fail(
        f"{what}: {half.hca} finds no peer",
        Evidence(f"an address in a subnet of {theirs}", address, f"ip address on {name}"),
        Remedy(f"give {half.interface} an address in the subnet of the half that it faces"),
        node=name,
    )


def _crossed(view: View, found: Wiring, one: str, two: str) -> Iterator[Finding]:
    crossed = found.crossed(one, two)
    if not crossed or all(_by_subnet(view, name) for name in (one, two)):
        return
    joined = "; ".join(f"{a.hca} ({', '.join(a.ipv4)}) with {b.hca} ({', '.join(b.ipv4)})"
                       for a, b in crossed)  # fmt: skip
    yield warn(
        f"ranks join HCAs of {one} and {two} that are in different subnets: {joined}",
        Evidence("the HCAs, in the order of their PCI addresses, in the same subnets", joined,
                 f"ip address on {one} and {two}"),
        Remedy(f"on one cable or a switch swap the addresses of {two}'s halves; in a ring set"
               f" {BY_SUBNET}: '1' in env.set, which NCCL has from 2.30.7"),
        node=two,
    )  # fmt: skip


def _by_subnet(view: View, name: str) -> bool:
    return number(view.effective(name).get(BY_SUBNET, "0")) != 0


def elsewhere(view: View, name: str, target: str, half: Half) -> bool:
    """Whether a half is well and faces another node, and not this one: in a ring that is so."""
    known = {n: _halves(view, n) for n in view.reached if n != name}
    if not half.usable or any(beside(half, theirs) for theirs in known.get(target, ())):
        return False
    return any(beside(half, theirs) for halves in known.values() for theirs in halves)
