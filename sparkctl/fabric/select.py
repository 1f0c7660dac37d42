"""Which cage a node uses: derived from its own facts, or as the inventory says, checked; pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Any

from sparkctl.errors import PreflightError
from sparkctl.fabric.choice import FabricChoice
from sparkctl.fabric.topology import Half, halves
from sparkctl.inventory.models import Inventory, Node


def choose(inventory: Inventory, node: Node, facts: Mapping[str, Any]) -> FabricChoice:
    """The fabric that a node uses.

    Explicit values of the node win over those of the cluster, and these over what is derived:
    the lowest cage with ACTIVE halves that have IPv4 addresses (in fabric.subnets, if given).
    Raises PreflightError naming what was wanted, what the node has, and what to do.
    """
    found = halves(facts)
    own = node.fabric
    if own.interfaces:
        chosen = [_by_interface(node, found, facts, name) for name in own.interfaces]
        interfaces = tuple(own.interfaces)
        hcas = tuple(h.hca for h in chosen if h is not None)
    else:
        members = _cage_members(inventory, node, found)
        interfaces = tuple(h.interface for h in members)
        hcas = tuple(h.hca for h in members)
    if own.hcas:
        hcas = tuple(_hca(node, found, name) for name in own.hcas)
    addresses = _addresses(inventory, node, facts, interfaces)
    return FabricChoice(addresses[0].partition("/")[0], interfaces, hcas, addresses)


def _by_interface(
    node: Node, found: tuple[Half, ...], facts: Mapping[str, Any], name: str
) -> Half | None:
    if name not in facts["net"]:
        raise _wrong(
            node, "fabric.interfaces", f"the interface {name}", ", ".join(sorted(facts["net"]))
        )
    return next((h for h in found if h.interface == name), None)


def _hca(node: Node, found: tuple[Half, ...], name: str) -> str:
    if any(h.hca == name for h in found):
        return name
    have = ", ".join(h.hca for h in found) or "no RDMA device"
    other = next((h.hca for h in found if h.interface == name), None)
    if other:
        have += f"; {name} is a netdev, its RDMA device is {other}"
    raise _wrong(node, "fabric.hcas", f"the RDMA device {name}", have)


def _cage_members(inventory: Inventory, node: Node, found: tuple[Half, ...]) -> list[Half]:
    wanted = node.fabric.cage
    if wanted is None and inventory.fabric.cage != "auto":
        wanted = inventory.fabric.cage
    if wanted is not None:
        members = [h for h in found if h.cage == wanted]
        if not members:
            have = ", ".join(sorted({str(h.cage) for h in found})) or "no RDMA device at all"
            raise _wrong(node, "fabric.cage", f"cage {wanted}", f"cages {have}")
        return _usable(members) or members
    usable = _usable([h for h in found if _in_subnets(inventory, h.ipv4)])
    cages = sorted({h.cage for h in usable})
    if not cages:
        states = "; ".join(
            f"{h.hca} ({h.interface}) {'ACTIVE' if h.active else 'not ACTIVE'},"
            f" {', '.join(h.ipv4) or 'no IPv4'}"
            for h in found
        )
        raise PreflightError(
            "fabric.cage auto needs a cage whose RDMA ports are ACTIVE and have IPv4 addresses;"
            f" the node has {states or 'no RDMA device (is the cable in?)'}",
            node=node.name,
            hint="plug the QSFP cable, give both halves an address, or name the node's"
            " fabric.interfaces in the inventory",
        )
    return [h for h in usable if h.cage == cages[0]]


def _usable(members: list[Half]) -> list[Half]:
    return [h for h in members if h.active and h.ipv4]


def _in_subnets(inventory: Inventory, ipv4: tuple[str, ...]) -> bool:
    subnets = inventory.fabric.subnets
    return subnets == "auto" or any(IPv4Interface(a).ip in s for a in ipv4 for s in subnets)


def _addresses(
    inventory: Inventory, node: Node, facts: Mapping[str, Any], interfaces: tuple[str, ...]
) -> tuple[str, ...]:
    """Each interface's IPv4 with prefix length: the inventory's where given, and checked."""
    wanted = [str(a) for a in node.fabric.addresses or []]
    result = []
    for index, name in enumerate(interfaces):
        has = [a for a in facts["net"][name]["ipv4"] if _in_subnets(inventory, (a,))]
        want = wanted[index] if index < len(wanted) else None
        fitting = [a for a in has if want is None or a.partition("/")[0] == want]
        if not fitting and (want or index == 0):
            what = f"the address {want or 'of the fabric'} on {name}"
            have = ", ".join(facts["net"][name]["ipv4"]) or "no IPv4 there"
            raise _wrong(node, "fabric.addresses", what, have)
        result += fitting[:1]
    return tuple(result)


def _wrong(node: Node, path: str, wanted: str, found: str) -> PreflightError:
    return PreflightError(
        f"{path} wants {wanted}; the node has {found}",
        node=node.name,
        hint=f"correct {path} of {node.name} in the inventory, or leave it out to have it derived",
    )


def check_pairing(choices: Mapping[str, FabricChoice]) -> list[tuple[str, str]]:
    """(node, problem) where nodes cannot talk over what was chosen.

    The socket interfaces belong in one subnet, the two halves of a node in two
    (facts/spark-fabric.md, Topology).
    """
    problems = []
    networks = {n: [IPv4Interface(a).network for a in c.addresses] for n, c in choices.items()}
    first = next(iter(choices))
    for name, choice in choices.items():
        if networks[name][0] != networks[first][0]:
            problems.append(
                (
                    name,
                    f"its socket interface {choice.interfaces[0]} is in {networks[name][0]},"
                    f" that of {first} in {networks[first][0]}",
                )
            )
        if len(set(networks[name])) < len(networks[name]):
            problems.append((name, f"both halves are in one subnet, {networks[name][0]}"))
    return problems
