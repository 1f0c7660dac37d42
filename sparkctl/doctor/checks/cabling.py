"""Which halves of all nodes face each other, and what prevents two nodes' halves from it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sparkctl.doctor.checks.ring import without_cable
from sparkctl.doctor.finding import Evidence, Finding, fail, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import Wiring, reachable
from sparkctl.fabric.ncclparam import number
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.topology import Half

BY_SUBNET = "NCCL_IB_SUBNET_AWARE_ROUTING"


def wiring(snapshot: Snapshot) -> Wiring:
    """The halves of every node's chosen HCAs; of a node without a choice, all that are usable."""
    used = tuple(
        (name, _used(snapshot, name)) for name in snapshot.reached if known_halves(snapshot, name)
    )
    return _wiring(used, len(used) == len(snapshot.inventory.nodes))


_wiring = lru_cache(maxsize=4)(Wiring)  # the same for every pair of many nodes


def known_halves(snapshot: Snapshot, name: str) -> tuple[Half, ...]:
    """A node's halves; none if they could not be read."""
    try:
        return snapshot.halves(name)
    except Missing:
        return ()


def _used(snapshot: Snapshot, name: str) -> tuple[Half, ...]:
    hcas = snapshot.choice(name).hcas if snapshot.choice_error(name) is None else None
    found = (h for h in snapshot.halves(name) if h.ipv4)
    return tuple(h for h in found if (h.usable if hcas is None else h.hca in hcas))


def facing(
    snapshot: Snapshot, found: Wiring, one: str, two: str, *, quiet: bool
) -> Iterator[Finding]:
    """What is wrong between two nodes' halves; with `quiet` only what is certain."""
    if found.doubled(one) or found.doubled(two):
        return  # fabric.subnets reports it
    yield from _duplicates(snapshot, found, one, two)
    without_peer = found.astray(one, two)
    for name, half in without_peer:
        if half.interface != snapshot.choice(name).interfaces[0]:  # check_pairing reports sockets'
            yield _without_peer(found, one if name == two else two, name, half)
    if without_peer or quiet:
        return
    if found.apart(one, two) and found.joined(one, two):
        yield without_cable(snapshot, found, one, two)
    elif found.apart(one, two):
        yield _apart(found, one, two)
    else:
        yield from _crossed(snapshot, found, one, two)


def _duplicates(snapshot: Snapshot, found: Wiring, one: str, two: str) -> Iterator[Finding]:
    for half, ip in found.twins(one, two):
        if half.interface not in snapshot.choice(two).interfaces:  # check_pairing reports these
            yield fail(
                f"duplicate address {ip}, also assigned on {one}",
                Evidence("another address on each node", f"{ip} on both", "ip address"),
                Remedy(f"give {half.interface} another address of the same subnet"),
                node=two,
                code="duplicate-half-address",
                data={"interface": half.interface, "address": ip, "other": one},
            )


def _apart(found: Wiring, one: str, two: str) -> Finding:
    """No half of one node faces a half of the other."""
    data: Data = {"peer": one}
    where = f"ip address on {one} and {two}"
    if found.complete:
        return fail(
            f"no half of {one} shares a subnet with one of {two}, nor does a node between them",
            Evidence("a common subnet on each half", "none", where),
            Remedy("give each half the subnet of the halves that it faces"),
            node=two,
            code="no-common-subnet",
            data=data,
        )
    text = f"whether other nodes connect {one} and {two} is unknown: some were not read"
    return unknown(text, node=two, code="nodes-unread", data=data)


def _without_peer(found: Wiring, other: str, name: str, half: Half) -> Finding:
    address = ", ".join(half.ipv4)
    whose = "any other node" if found.free else other
    text = f"{half.interface} ({address}) shares no subnet with a half of {whose}"
    data: Data = {"hca": half.hca, "interface": half.interface, "addresses": half.ipv4}
    if found.free and not found.complete:
        text += "; some nodes were not read"
        return unknown(text, node=name, code="nodes-unread", data=data)
    peers = [n for n, _ in found.used if n != name and (found.free or n == other)]
    theirs = ", ".join(a for peer in peers for h in found.halves(peer) for a in h.ipv4)
    return fail(
        f"{text}: {half.hca} finds no peer",
        Evidence(f"an address in a subnet of {theirs}", address, f"ip address on {name}"),
        Remedy(f"give {half.interface} an address in the subnet of the half that it faces"),
        node=name,
        code="half-without-peer",
        data=data,
    )


def _crossed(snapshot: Snapshot, found: Wiring, one: str, two: str) -> Iterator[Finding]:
    crossed = found.crossed(one, two)
    if not crossed or all(_by_subnet(snapshot, name) for name in (one, two)):
        return
    pairs = [f"{_with_addresses(a)} with {_with_addresses(b)}" for a, b in crossed]
    got = "; ".join(pairs)
    yield warn(
        f"ranks connect HCAs of {one} and {two} that are in different subnets: {got}",
        Evidence(
            "the HCAs, in the order of their PCI addresses, in the same subnets",
            got,
            f"ip address on {one} and {two}",
        ),
        Remedy(
            f"on one cable or a switch swap the addresses of {two}'s halves; in a ring set"
            f" {BY_SUBNET}: '1' in env.set, which NCCL knows from 2.30.7"
        ),
        node=two,
        code="hcas-crossed",
        data={"peer": one, "pairs": pairs},
    )


def _with_addresses(half: Half) -> str:
    return f"{half.hca} ({', '.join(half.ipv4)})"


def _by_subnet(snapshot: Snapshot, name: str) -> bool:
    return number(snapshot.effective(name).get(BY_SUBNET, "0")) != 0


def faces_only_others(snapshot: Snapshot, name: str, target: str, half: Half) -> bool:
    """Whether a usable half faces other nodes and not this one, as in a ring."""
    halves = {n: known_halves(snapshot, n) for n in snapshot.reached if n != name}
    if not half.usable or any(reachable(half, theirs) for theirs in halves.get(target, ())):
        return False
    return any(reachable(half, theirs) for found in halves.values() for theirs in found)
