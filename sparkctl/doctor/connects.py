"""What the connections that a node tried show of a peer's ports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sparkctl.doctor import routes
from sparkctl.facts.unread import known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.peeranswers import Connect, Ping

UNANSWERED = ("FAILED", "INCOMPLETE")  # states of a neighbour that does not answer ARP
REACHABLE = "REACHABLE"
# A connection is tried twice within its two seconds: of this share lost, both in 1 of 25.
LOSSY = 0.2
WORKERS = "Ray's workers"  # what a connection to a port of theirs is for


class Way(Enum):
    """What a connection shows of a port."""

    ARRIVED = "arrived"
    BLOCKED = "blocked"
    MISLED = "misled"  # the source has no route, so it shows nothing of the target
    SILENT = "silent"  # nor here: the path is broken, or loses packets


@dataclass(frozen=True)
class Tries:
    """A node's connections and pings to one peer, in the order in which addresses count.

    `listening`: the peer's ports with a process of the cluster, and the process. `used`: the
    address that such a process has at least; None if the peer's fabric is not known.
    """

    snapshot: Snapshot
    source: str
    target: str
    connects: tuple[Connect, ...]
    pings: tuple[Ping, ...]
    listening: dict[int, str]
    used: str | None

    def way(self, connect: Connect) -> Way:
        """What one connection shows."""
        if connect.error is None:
            return Way.ARRIVED
        if connect.refused:
            return Way.BLOCKED if self._rejected(connect) else Way.ARRIVED
        if routes.misled(self.snapshot, self.source, connect.address):
            return Way.MISLED
        return Way.BLOCKED if self._path_works(connect) else Way.SILENT

    def _rejected(self, connect: Connect) -> bool:
        """Whether a firewall refused, as a process of the cluster listens. Ray's workers end at any
        time, so that a refusal of theirs may be the node's own.
        """
        lasting = connect.what != WORKERS and connect.port in self.listening
        return lasting and connect.address == self.used

    def untried(self, ports: Iterable[int]) -> list[int]:
        """The ports that were not tried, or not at each of the addresses."""
        tried = {(c.address, c.port) for c in self.connects}
        addresses = {address for address, _ in tried} or {""}
        return sorted(p for p in ports if any((a, p) not in tried for a in addresses))

    def _path_works(self, connect: Connect) -> bool:
        """Whether packets pass to the address of a connection that failed; True where nothing is
        known of the path.
        """
        address, state = connect.address, self._neighbour(connect.address)
        if state in UNANSWERED:
            return False
        if routes.no_way_back(self.snapshot, self.source, self.target, address) is not None:
            return False
        pings = [p for p in self.pings if p.address == address and p.sent]
        if connect.errno is None and any(map(_lossy, pings)):
            return False
        arrived = any(
            c.address == address and (c.error is None or c.refused) for c in self.connects
        )
        if arrived or state == REACHABLE or any(p.received for p in pings):
            return True
        # EHOSTUNREACH is also what a failed ARP gives.
        return not pings and (connect.errno is None or state is not None)

    def _neighbour(self, address: str) -> str | None:
        found = routes.route(self.snapshot, self.source, address)
        return found.neighbour if found else None


def _lossy(pings: Ping) -> bool:
    """Whether some were answered, and so many were lost that a connection may be."""
    sent, received = pings.sent or 0, pings.received or 0
    return 0 < received <= sent * (1 - LOSSY)


def tries(snapshot: Snapshot, source: str, target: str) -> Tries:
    """What a node tried with a peer. Raises Missing if it was not asked, or the peer's listeners
    are not known.
    """
    look = snapshot.seen(snapshot.looks.peers, source)
    connects = tuple(c for c in look.connects if c.to == target)
    pings = tuple(p for p in look.pings if p.to == target)
    owners = known(snapshot.facts(target).ports)
    own = [o for o in owners if o.cluster == snapshot.inventory.cluster]
    listening = {o.port: f"pid {o.pid}" if o.pid else f"a process of {o.user}" for o in own}
    used = None if snapshot.choice_error(target) else snapshot.choice(target).address
    return Tries(snapshot, source, target, connects, pings, listening, used)
