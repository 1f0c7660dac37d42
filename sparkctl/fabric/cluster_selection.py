"""Which ports all nodes use: their socket interfaces belong in one subnet; pure.

Ray and vLLM of every node reach the other nodes' socket interfaces, and a half reaches only what
is in its own subnet. Names do not show which halves face each other, and each node alone takes its
first: after a rename, or with one half down, another half than its peers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.fabric.cabling import in_common, parsed
from sparkctl.fabric.port_selection import Option, options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Network

    from sparkctl.fabric.selection import FabricChoice, FabricSpec
    from sparkctl.facts.node import NodeFacts

Choices = dict[str, "FabricChoice | SparkctlError"]
Options = dict[str, tuple[Option, ...]]


@dataclass(frozen=True)
class _Socket:
    """A socket interface that a node may use, with its address."""

    option: Option
    interface: str
    address: str

    @property
    def choice(self) -> FabricChoice:
        return self.option.with_socket(self.interface, self.address)

    def shares(self, other: _Socket) -> bool:
        """Whether both are in one subnet."""
        return in_common(parsed(self.address), parsed(other.address))

    def rails(self, other: _Socket) -> int:
        """The number of this option's interfaces that face one of the other's."""
        theirs = [parsed(a) for own in other.option.own for a in own]
        return sum(
            any(in_common(parsed(a), b) for a in own for b in theirs) for own in self.option.own
        )


def choose_all(specs: Iterable[FabricSpec], facts: Mapping[str, NodeFacts]) -> Choices:
    """What each node with facts uses, or why that cannot be derived; the head's spec comes first.

    The socket interfaces are in the subnet that most nodes share, and the cages are those with most
    halves facing each other. Of equal subnets it is one that is not link-local, then that of the
    head's first half. A node that shares none uses what it would use alone; so do all where some
    share one subnet and others another, as in a ring of three.
    """
    found: Options = {}
    chosen: Choices = {}
    for spec in specs:
        if spec.node in facts:
            try:
                found[spec.node] = options(spec, facts[spec.node])
                chosen[spec.node] = found[spec.node][0].choice
            except SparkctlError as error:
                chosen[spec.node] = error
    together = _together(found)
    left = [node for node in found if node not in together]
    if len(together) > 1 and all(_alone(node, found) for node in left):
        chosen.update({node: socket.choice for node, socket in together.items()})
    return chosen


def _alone(node: str, found: Options) -> bool:
    """Whether no socket of a node is in a subnet of another node's."""
    others = [socket for other in found if other != node for socket in _sockets(found[other])]
    return not any(mine.shares(other) for mine in _sockets(found[node]) for other in others)


def _together(found: Options) -> dict[str, _Socket]:
    """The sockets of most nodes in one subnet."""
    best: dict[str, _Socket] = {}
    tried: set[IPv4Network] = set()
    for node in found:
        new = [s for s in _sockets(found[node]) if parsed(s.address).network not in tried]
        for first in new:
            joined = _joined(node, first, found)
            if not best or _worth(joined) > _worth(best):
                best = joined
        if len(best) == len(found):  # the other nodes' sockets lead to the same subnets
            break
        tried |= {parsed(socket.address).network for socket in new}
    return best


def _sockets(found: Iterable[Option]) -> Iterator[_Socket]:
    for option in found:
        for interface, address in option.sockets:
            yield _Socket(option, interface, address)


def _joined(node: str, first: _Socket, found: Options) -> dict[str, _Socket]:
    """One node's socket, and that of each other node that is in its subnet."""
    joined = {node: first}
    for other in found:
        sockets = _sockets(found[other]) if other != node else ()
        fitting = [s for s in sockets if all(s.shares(taken) for taken in joined.values())]
        if fitting:
            joined[other] = max(fitting, key=lambda s: s.rails(first))
    return joined


def _worth(joined: Mapping[str, _Socket]) -> tuple[int, bool, int]:
    first, *others = joined.values()
    routed = not parsed(first.address).is_link_local
    return len(joined), routed, sum(other.rails(first) for other in others)
