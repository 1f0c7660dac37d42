"""Which halves of all nodes face each other, and what prevents two nodes' halves from it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sparkctl.doctor.checks.ring import without_cable
from sparkctl.doctor.finding import Evidence, Finding, fail, unknown, warn
from sparkctl.doctor.remedy import Remedy
from sparkctl.fabric.cabling import Astray, Wiring, link_local, reachable
from sparkctl.fabric.ncclparam import number
from sparkctl.fabric.version import SUBNET_ROUTING
from sparkctl.facts.unread import Missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.errors import Data
    from sparkctl.fabric.topology import Half

BY_SUBNET, MERGE_NICS = "NCCL_IB_SUBNET_AWARE_ROUTING", "NCCL_IB_MERGE_NICS"


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
    without_peer = [
        lost
        for lost in found.astray(one, two)
        # What is wrong then is the choice, as in a ring, and no address.
        if not (quiet and _faces_any(snapshot, lost.node, lost.half))
    ]
    for lost in without_peer:
        # check_pairing reports sockets'
        if lost.half.interface != snapshot.choice(lost.node).interfaces[0]:
            yield _without_peer(found, one if lost.node == two else two, lost)
    if without_peer or quiet:
        return
    if found.apart(one, two) and found.joined(one, two):
        routed = all(_merged_by_subnet(snapshot, name) for name, _ in found.used)
        yield without_cable(snapshot, found, one, two, cured=routed)
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
    """No half of one node faces a half of the other, nor do nodes between them."""
    addresses = {n: [a for half in found.halves(n) for a in half.ipv4] for n in (one, two)}
    data: Data = {
        "peer": one,
        "addresses": addresses[two],
        "peer_addresses": addresses[one],
    }
    where = f"ip address on {one} and {two}"
    if found.complete:
        return fail(
            f"no half of {one} ({', '.join(addresses[one])}) shares a subnet with one of {two}"
            f" ({', '.join(addresses[two])}), nor does a node between them",
            Evidence("a common subnet on each half", "none", where),
            Remedy("give each half the subnet of the halves that it faces"),
            node=two,
            code="no-common-subnet",
            data=data,
        )
    text = f"whether other nodes connect {one} and {two} is unknown: some were not read"
    return unknown(text, node=two, code="nodes-unread", data=data)


def _without_peer(found: Wiring, other: str, lost: Astray) -> Finding:
    name, half = lost.node, lost.half
    address = ", ".join(half.ipv4)
    whose = "any other node" if found.free else other
    text = f"{name}'s {half.interface} ({address}) shares no subnet with a half of {whose}"
    data: Data = {
        "hca": half.hca,
        "interface": half.interface,
        "addresses": half.ipv4,
        "peer": other,
        # By place; the wrong address may be one of these as well.
        "other_nodes": [n for n, _ in lost.others],
        "other_interfaces": [h.interface for _, h in lost.others],
        "other_addresses": [", ".join(h.ipv4) for _, h in lost.others],
    }
    if found.free and not found.complete:
        text += "; some nodes were not read"
        return unknown(text, node=name, code="nodes-unread", data=data)
    peers = [n for n, _ in found.used if n != name and (found.free or n == other)]
    theirs = ", ".join(a for peer in peers for h in found.halves(peer) for a in h.ipv4)
    return fail(
        f"{text}: {half.hca} finds no peer{_whose_fault(lost)}",
        Evidence(f"an address in a subnet of {theirs}", address, f"ip address on {name}"),
        Remedy(f"give {_either(lost)} an address in the subnet of the half that it faces"),
        node=name,
        code="half-without-peer",
        data=data,
    )


def _whose_fault(lost: Astray) -> str:
    if link_local(lost.half.ipv4):
        return "; a link-local address means that the interface is not configured"
    if not lost.others:
        return ""
    listed = ", ".join(f"{n}'s {h.interface} ({', '.join(h.ipv4)})" for n, h in lost.others)
    return f", and neither does {listed}; any of these addresses may be the wrong one"


def _either(lost: Astray) -> str:
    every = [lost.half.interface, *(f"{n}'s {h.interface}" for n, h in lost.others)]
    return " or ".join(every)


def _crossed(snapshot: Snapshot, found: Wiring, one: str, two: str) -> Iterator[Finding]:
    crossed = found.crossed(one, two)
    if not crossed or all(_by_subnet(snapshot, name) for name in (one, two)):
        return
    pairs = [f"{_with_addresses(a)} with {_with_addresses(b)}" for a, b in crossed]
    got = "; ".join(pairs)
    node = found.misplaced(one, two)
    yield warn(
        f"ranks connect HCAs of {one} and {two} that are in different subnets: {got}",
        Evidence(
            "the HCAs, in the order of their PCI addresses, in the same subnets",
            got,
            f"ip address on {one} and {two}",
        ),
        Remedy(
            f"where one cable or a switch joins all halves, swap the addresses of {node}'s halves;"
            f" where each half has a cable of its own, swap the cables at {node}; else, as in a"
            f" ring, set {BY_SUBNET}: '1' in env.set, which NCCL knows from 2.30.7"
        ),
        node=node,
        code="hcas-crossed",
        data={"peer": one if node == two else two, "pairs": pairs},
    )


def _with_addresses(half: Half) -> str:
    return f"{half.hca} ({', '.join(half.ipv4)})"


def _by_subnet(snapshot: Snapshot, name: str) -> bool:
    """Whether NCCL goes by subnets on a node: it is set, and not too new for its NCCL."""
    known_to_nccl = snapshot.nccl_version(name) >= SUBNET_ROUTING
    return known_to_nccl and number(snapshot.effective(name).get(BY_SUBNET, "0")) != 0


def _merged_by_subnet(snapshot: Snapshot, name: str) -> bool:
    """Whether a node has the environment that nodes in a ring served with (ring.py)."""
    merged = number(snapshot.effective(name).get(MERGE_NICS, "1"), default=1) != 0
    return merged and _by_subnet(snapshot, name)


def _faces_any(snapshot: Snapshot, name: str, half: Half) -> bool:
    """Whether a half faces a usable one of another node, be it chosen or not."""
    others = (known_halves(snapshot, n) for n in snapshot.reached if n != name)
    return any(h.usable and reachable(half, h) for halves in others for h in halves)


def faces_only_others(snapshot: Snapshot, name: str, target: str, half: Half) -> bool:
    """Whether a usable half faces other nodes and not this one, as in a ring."""
    halves = {n: known_halves(snapshot, n) for n in snapshot.reached if n != name}
    if not half.usable or any(reachable(half, theirs) for theirs in halves.get(target, ())):
        return False
    return any(reachable(half, theirs) for found in halves.values() for theirs in found)
