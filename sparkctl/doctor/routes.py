"""Whether a node's packets take the fabric to a peer's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.cabling import parsed
from sparkctl.facts.unread import Missing, Unread, known

if TYPE_CHECKING:
    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.peeranswers import Route


def route(snapshot: Snapshot, source: str, address: str) -> Route | None:
    """The route from a node to an address; None if it is not known, as of addresses that were
    reached.
    """
    look = snapshot.looks.peers.get(source)
    return None if look is None or isinstance(look, Unread) else look.routes.get(address)


def interfaces(snapshot: Snapshot, name: str, address: str) -> dict[str, str]:
    """A node's interfaces in the subnet of an address, each with its own address in there (with
    prefix length); the usable halves if there are any.
    """
    try:
        halves = snapshot.halves(name)
        net = known(snapshot.facts(name).net)
    except Missing:
        return {}
    ip = parsed(address).ip
    among = {h.interface: h.ipv4 for h in halves if h.usable}
    every = {interface: found.ipv4 for interface, found in net.items()}
    for ipv4 in (among, every):
        if found := {i: a for i, own in ipv4.items() for a in own if ip in parsed(a).network}:
            return found
    return {}


def misled(snapshot: Snapshot, source: str, address: str) -> bool:
    """Whether a node has no route to an address, or one that leaves the address's subnet."""
    way = route(snapshot, source, address)
    if way is None:
        return False
    expected = interfaces(snapshot, source, address)
    return way.problem is not None or bool(
        expected and way.interface and way.interface not in expected
    )


def no_way_back(snapshot: Snapshot, source: str, target: str, address: str) -> str | None:
    """A node's own address to which the answers from a peer's address have no route; None if there
    is a route, or it is not known.
    """
    own = (str(parsed(a).ip) for a in interfaces(snapshot, source, address).values())
    return next((ip for ip in own if misled(snapshot, target, ip)), None)
