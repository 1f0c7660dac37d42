"""Which cage a node uses: derived from its own facts, or as the inventory says, checked; pure."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.errors import PreflightError
from sparkctl.fabric.selection import FabricChoice, FabricSpec
from sparkctl.fabric.topology import Half, halves
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sparkctl.facts.node import NodeFacts


def choose(spec: FabricSpec, facts: NodeFacts) -> FabricChoice:
    """The fabric that a node uses.

    Explicit values win over what is derived: the cage with most halves that are ACTIVE and have
    IPv4 (in the subnets, if given), the lowest of equals. Interfaces left out follow from the
    addresses or HCAs that are given.
    Raises PreflightError naming what was wanted, what the node has, and what to do.
    """
    found = halves(facts)
    if spec.interfaces:
        interfaces = spec.interfaces
        for name in interfaces:
            _check_interface(spec, facts, name)
    elif spec.cage is None and spec.addresses and all(carriers := _carriers(spec, facts)):
        interfaces = tuple(carriers)
    elif spec.cage is None and spec.hcas:
        interfaces = tuple(_half(spec, found, facts, name).interface for name in spec.hcas)
    else:
        interfaces = tuple(h.interface for h in _cage_members(spec, found))
    if spec.hcas:
        hcas = tuple(_half(spec, found, facts, name).hca for name in spec.hcas)
    else:
        hcas = tuple(h.hca for name in interfaces for h in found if h.interface == name)
    _check_alive(spec, found, hcas)
    addresses = _addresses(spec, facts, interfaces)
    return FabricChoice(addresses[0].partition("/")[0], interfaces, hcas, addresses)


def unused(choice: FabricChoice, found: Iterable[Half]) -> list[Half]:
    """The node's halves that could carry traffic beside the chosen ones of their cage, and are
    left out by the inventory: that costs half of the 200 Gb/s.
    """
    every = list(found)
    cages = {h.cage for h in every if h.hca in choice.hcas}
    return [h for h in every if h.cage in cages and h.hca not in choice.hcas and h.usable]


def _check_interface(spec: FabricSpec, facts: NodeFacts, name: str) -> None:
    net = known(facts.net)
    if name in net:
        return
    have = ", ".join(sorted(net))
    if name in known(facts.ib):
        device = next((h.interface for h in halves(facts) if h.hca == name), "none")
        have += f"; {name} is an RDMA device, its interface is {device}"
    raise _wrong(spec, "fabric.interfaces", f"the interface {name}", have)


def _carriers(spec: FabricSpec, facts: NodeFacts) -> list[str]:
    """The interface that has each of the node's explicit addresses; empty where none has it."""
    names = {a.partition("/")[0]: n for n, net in known(facts.net).items() for a in net.ipv4}
    return [names.get(str(a), "") for a in spec.addresses or []]


def _half(spec: FabricSpec, found: tuple[Half, ...], facts: NodeFacts, name: str) -> Half:
    for half in found:
        if half.hca == name:
            return half
    have = _joined(h.hca for h in found) or "no RDMA device (is the cable in?)"
    if name in known(facts.ib):
        have += f"; {name} has no netdev"
    elif other := next((h.hca for h in found if h.interface == name), None):
        have += f"; {name} is a netdev, its RDMA device is {other}"
    raise _wrong(spec, "fabric.hcas", f"the RDMA device {name}", have)


def _cage_members(spec: FabricSpec, found: tuple[Half, ...]) -> list[Half]:
    wanted = spec.common_cage if spec.cage is None else spec.cage
    if wanted is not None:
        members = [h for h in found if h.cage == wanted]
        if not members:
            have = _joined(sorted({str(h.cage) for h in found}))
            text = f"cages {have}" if have else "no RDMA device (is the cable in?)"
            raise _wrong(spec, "fabric.cage", f"cage {wanted}", text)
        return [h for h in members if h.usable] or members
    usable = [h for h in found if h.usable and _in_subnets(spec, h.ipv4)]
    if not usable:
        subnets = _in_which(spec)
        down = [h.interface for h in found if h.ipv4 and not h.active]
        hint = "plug the QSFP cable, give each half an address"
        if down:
            hint = (
                f"is the QSFP cable in at both ends, and {_joined(down)} up (`ip link set … up`)?"
            )
            hint += " If so, give each ACTIVE half an address"
        raise PreflightError(
            f"fabric.cage auto wants a cage whose RDMA ports are ACTIVE with IPv4{subnets}; the"
            f" node has {'; '.join(map(str, found)) or 'no RDMA device (is the cable in?)'}",
            node=spec.node,
            hint=f"{hint}, or name this node's fabric.interfaces in the inventory",
        )
    cages = [h.cage for h in usable]
    best = min(cages, key=lambda cage: (-cages.count(cage), cage))
    return [h for h in usable if h.cage == best]


def _check_alive(spec: FabricSpec, found: Iterable[Half], hcas: Collection[str]) -> None:
    dead = [h for h in found if h.hca in hcas and not h.active]
    if not dead:
        return
    elsewhere = [h for h in found if h.usable and h.cage not in {d.cage for d in dead}]
    hint = (
        f"is the QSFP cable in at both ends, and `ip link set {dead[0].interface} up` done? Or"
        " leave the node's fabric values out to have them derived"
    )
    if elsewhere:
        hint = (
            f"the cable is in cage {elsewhere[0].cage}, whose {_joined(h.hca for h in elsewhere)}"
            " are ACTIVE with IPv4: leave the node's fabric values out to have them derived, name"
            " that cage, or plug the cable into the other one"
        )
    raise PreflightError(
        f"the inventory's fabric wants RDMA ports that are ACTIVE; the node has"
        f" {'; '.join(map(str, dead))}",
        node=spec.node,
        hint=hint,
    )


def _in_subnets(spec: FabricSpec, ipv4: Iterable[str]) -> bool:
    subnets = spec.subnets
    return subnets is None or any(IPv4Interface(a).ip in s for a in ipv4 for s in subnets)


def _in_which(spec: FabricSpec) -> str:
    subnets = spec.subnets
    return "" if subnets is None else f" in {_joined(map(str, subnets))} (fabric.subnets)"


def _addresses(spec: FabricSpec, facts: NodeFacts, interfaces: tuple[str, ...]) -> tuple[str, ...]:
    """Each interface's IPv4 with prefix length: the inventory's where given, and checked."""
    wanted = [str(a) for a in spec.addresses or []]
    result = []
    for index, name in enumerate(interfaces):
        has = known(facts.net)[name].ipv4
        if index < len(wanted):
            fitting = [a for a in has if a.partition("/")[0] == wanted[index]]
            if not fitting:
                what = f"the address {wanted[index]} on {name}"
                have = _joined(f"{a} on {n}" for n, v in known(facts.net).items() for a in v.ipv4)
                raise _wrong(spec, "fabric.addresses", what, have or "no IPv4 at all")
        else:
            fitting = [a for a in has if _in_subnets(spec, [a])]
            if not fitting:
                raise PreflightError(
                    f"the fabric wants an IPv4 address on {name}{_in_which(spec)}; the node"
                    f" has {_joined(has) or 'no IPv4'} there",
                    node=spec.node,
                    hint=f"give it one (netplan, or `ip address add … dev {name}`): each half of"
                    " the cable in a subnet of its own",
                )
        result.append(fitting[0])
    return tuple(result)


def _wrong(spec: FabricSpec, path: str, wanted: str, found: str) -> PreflightError:
    return PreflightError(
        f"{path} wants {wanted}; the node has {found}",
        node=spec.node,
        hint=f"correct {path} of {spec.node} in the inventory, or leave it out to have it derived",
    )


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)
