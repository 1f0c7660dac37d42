"""The fabric's links by subnet, in words; pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkctl.fabric.diagram import Diagram, Node, Port


@dataclass(frozen=True)
class End:
    """A half in a subnet: its node and HCA, and whether its port is alive."""

    node: str
    hca: str
    active: bool

    def __str__(self) -> str:
        return f"{self.node} {self.hca}"


@dataclass(frozen=True)
class Subnet:
    """The halves that share a subnet, and the speeds of those that are alive."""

    name: str
    halves: tuple[End, ...]
    speeds: tuple[str, ...]

    @property
    def down(self) -> list[End]:
        """The halves whose port is not alive."""
        return [end for end in self.halves if not end.active]

    @property
    def state(self) -> str:
        """How it stands, in words."""
        if self.down:
            return f"down: {', '.join(map(str, self.down))}"
        return ", ".join(["up", *self.speeds])

    @property
    def ends(self) -> str:
        """The halves, in words."""
        return " ↔ ".join(map(str, self.halves))


def subnets(diagram: Diagram) -> list[Subnet]:
    """The links by subnet: on a switch every half faces all the others."""
    found: dict[str, dict[End, None]] = {}
    for link in diagram.links:
        ends = (End(node, half.hca, half.active) for node, half in link.ends)
        found.setdefault(link.subnet, {}).update(dict.fromkeys(ends))
    speeds = {(n.name, p.half.hca): speed(p) for n in diagram.nodes for p in n.ports}
    return [
        Subnet(
            name,
            tuple(ends),
            tuple(dict.fromkeys(speeds[end.node, end.hca] for end in ends if end.active)),
        )
        for name, ends in found.items()
    ]


def cages(node: Node) -> Iterator[tuple[int, list[Port]]]:
    """A node's ports by cage."""
    for number, ports in groupby(node.ports, key=lambda port: port.half.cage):
        yield number, list(ports)


def idle(ports: Iterable[Port]) -> bool:
    """Whether nobody uses any of a cage's ports: there is no cable, and no address."""
    return all(port.half.idle for port in ports)


def down(port: Port) -> str:
    """The state of a port that is not alive."""
    physical = f" ({port.port.phys_state})" if port.port.phys_state else ""
    return f"{port.port.state or 'in an unknown state'}{physical}"


def speed(port: Port) -> str:
    """A port's speed in words."""
    megabits = port.net.speed or 0  # -1 for unknown
    return f"{megabits / 1000:g} Gb/s" if megabits > 0 else port.port.rate or "speed unknown"
