"""Which ports a node may use: derived from its own facts, or the inventory's, checked; pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from sparkctl.errors import RemoteError
from sparkctl.fabric import port_errors
from sparkctl.fabric.cabling import without_prefix
from sparkctl.fabric.selection import FabricChoice, FabricSpec
from sparkctl.fabric.topology import Half, halves
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sparkctl.facts.node import NodeFacts


@dataclass(frozen=True)
class Option:
    """Ports that a node may use: a cage's, or those that the inventory sets.

    `own`: the addresses, with prefix length, that each of the choice's interfaces may be used by.
    `sockets`: each interface that may be the socket interface, with its address; the choice's is
    the first.
    """

    choice: FabricChoice
    own: tuple[tuple[str, ...], ...]
    sockets: tuple[tuple[str, str], ...]

    def with_socket(self, interface: str, address: str) -> FabricChoice:
        """The choice with this socket; the order of the HCAs stays, which NCCL does not read."""
        pairs = zip(self.choice.interfaces, self.choice.addresses, strict=True)
        others = [(name, own) for name, own in pairs if name != interface]
        interfaces, addresses = zip((interface, address), *others, strict=True)
        return FabricChoice(without_prefix(address), interfaces, self.choice.hcas, addresses)


def options(spec: FabricSpec, facts: NodeFacts) -> tuple[Option, ...]:
    """What a node may use, what it would use alone first.

    The inventory's values override what is derived: any cage with a half that is ACTIVE and has
    IPv4 (in the subnets, if given), that with most such halves first, the lowest of equals.
    Interfaces that are not given follow from the addresses or HCAs that are. Raises PreflightError
    (port_errors.py), and RemoteError if the state of a port could not be read.
    """
    found = halves(facts)
    for hca, device in known(facts.ib).items():
        if any(port.state is None for port in device.ports.values()):
            raise RemoteError(f"whether {hca} is ACTIVE could not be read", node=spec.node)
    return tuple(_option(spec, facts, found, names) for names in _interfaces(spec, facts, found))


def _option(
    spec: FabricSpec, facts: NodeFacts, found: Sequence[Half], interfaces: tuple[str, ...]
) -> Option:
    if spec.hcas:
        hcas = tuple(_half(spec, facts, found, name).hca for name in spec.hcas)
    else:
        hcas = tuple(h.hca for name in interfaces for h in found if h.interface == name)
    _check_active(spec, found, hcas)
    addresses = _addresses(spec, facts, interfaces)
    choice = FabricChoice(without_prefix(addresses[0]), interfaces, hcas, addresses)
    net, given = known(facts.net), len(spec.addresses or ())
    own = tuple(
        (address,) if at < given else tuple(a for a in net[name].ipv4 if _in_subnets(spec, [a]))
        for at, (name, address) in enumerate(zip(interfaces, addresses, strict=True))
    )
    # The first interface or address that the inventory gives is the socket's.
    free = 1 if spec.interfaces or spec.addresses else len(interfaces)
    pairs = zip(interfaces[:free], own, strict=False)
    return Option(choice, own, tuple((name, a) for name, every in pairs for a in every))


def unused(choice: FabricChoice, found: Iterable[Half]) -> list[Half]:
    """The usable halves of the chosen cage that the inventory leaves out."""
    every = list(found)
    cages = {h.cage for h in every if h.hca in choice.hcas}
    return [h for h in every if h.cage in cages and h.hca not in choice.hcas and h.usable]


def _interfaces(spec: FabricSpec, facts: NodeFacts, found: Sequence[Half]) -> list[tuple[str, ...]]:
    """The interfaces of each option."""
    if spec.interfaces:
        for name in spec.interfaces:
            _check_interface(spec, facts, found, name)
        return [spec.interfaces]
    if spec.cage is not None:
        return [_of_cage(spec, found, spec.cage)]
    if spec.addresses and all(carriers := _carriers(spec, facts)):
        return [carriers]
    if spec.hcas:
        return [tuple(_half(spec, facts, found, name).interface for name in spec.hcas)]
    if spec.common_cage is not None:
        return [_of_cage(spec, found, spec.common_cage)]
    return _of_each_cage(spec, found)


def _check_interface(spec: FabricSpec, facts: NodeFacts, found: Iterable[Half], name: str) -> None:
    if name in (interfaces := known(facts.net)):
        return
    of_device = None
    if name in known(facts.ib):
        of_device = next((half.interface for half in found if half.hca == name), "")
    raise port_errors.interface_unknown(spec, name, interfaces, of_device)


def _carriers(spec: FabricSpec, facts: NodeFacts) -> tuple[str, ...]:
    """The interface of each address that the inventory gives; empty for one that none has."""
    names = {without_prefix(a): name for name, net in known(facts.net).items() for a in net.ipv4}
    return tuple(names.get(str(address), "") for address in spec.addresses or ())


def _half(spec: FabricSpec, facts: NodeFacts, found: Sequence[Half], name: str) -> Half:
    for half in found:
        if half.hca == name:
            return half
    raise port_errors.hca_unknown(spec, name, found, known(facts.ib))


def _of_cage(spec: FabricSpec, found: Sequence[Half], cage: int) -> tuple[str, ...]:
    members = [half for half in found if half.cage == cage]
    if not members:
        raise port_errors.cage_missing(spec, cage, found)
    return tuple(h.interface for h in [h for h in members if h.usable] or members)


def _of_each_cage(spec: FabricSpec, found: Sequence[Half]) -> list[tuple[str, ...]]:
    usable = [half for half in found if half.usable and _in_subnets(spec, half.ipv4)]
    if not usable:
        raise port_errors.no_usable_port(spec, found)
    cages = [half.cage for half in usable]
    best = sorted(set(cages), key=lambda cage: (-cages.count(cage), cage))
    return [tuple(half.interface for half in usable if half.cage == cage) for cage in best]


def _check_active(spec: FabricSpec, found: Sequence[Half], hcas: Collection[str]) -> None:
    inactive = [half for half in found if half.hca in hcas and not half.active]
    if inactive:
        cages = {half.cage for half in inactive}
        others = [half for half in found if half.usable and half.cage not in cages]
        raise port_errors.port_not_active(spec, inactive, others)


def _addresses(spec: FabricSpec, facts: NodeFacts, interfaces: Sequence[str]) -> tuple[str, ...]:
    """Each interface's IPv4 with its prefix length: the inventory's if given, and checked."""
    given = [str(address) for address in spec.addresses or ()][: len(interfaces)]
    rest = interfaces[len(given) :]
    checked = [_given(spec, facts, *pair) for pair in zip(interfaces, given, strict=False)]
    return (*checked, *(_own(spec, facts, interface) for interface in rest))


def _given(spec: FabricSpec, facts: NodeFacts, interface: str, address: str) -> str:
    net = known(facts.net)
    for own in net[interface].ipv4:
        if without_prefix(own) == address:
            return own
    raise port_errors.address_unknown(spec, address, interface, net)


def _own(spec: FabricSpec, facts: NodeFacts, interface: str) -> str:
    addresses = known(facts.net)[interface].ipv4
    for address in addresses:
        if _in_subnets(spec, [address]):
            return address
    raise port_errors.address_missing(spec, interface, addresses)


def _in_subnets(spec: FabricSpec, ipv4: Iterable[str]) -> bool:
    subnets = spec.subnets
    return subnets is None or any(IPv4Interface(a).ip in s for a in ipv4 for s in subnets)
