"""Where a drawing of the fabric has what: a box for each node, a lane for each subnet; pure.

The boxes stand one below the other, so that the drawing is as narrow as a phone; the lanes run
next to them and join the halves that share a subnet, be it a cable or a switch.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rich.cells import chop_cells

from sparkctl.fabric.hca import ACTIVE
from sparkctl.output.report.subnets import cages, down, idle, speed
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sparkctl.fabric.diagram import Diagram, Port
    from sparkctl.fabric.diagram import Node as Drawn
    from sparkctl.output.report.subnets import Subnet

BOX = 300  # the width of a node's box
PAD = 10  # inside it
LINE = 17  # a line's height
GAP = 16  # between two boxes
LANE = 20  # between two lanes
MARK = 18  # before a half's names
WIDE, SMALL = 36, 40  # characters of a line in each size
MOST_HALVES = 16  # of a node that are drawn; a Spark has 4
MOST_COLUMNS = 12  # lanes side by side
NARROW = 6  # lanes side by side that a phone has room for


@dataclass(frozen=True)
class Words:
    """A line of text."""

    y: int
    x: int
    text: str
    kind: str  # name, cage, half, state, broken


@dataclass(frozen=True)
class Mark:
    """A half: whether it is alive, and whether a lane leads from it."""

    y: int
    active: bool
    alone: bool


@dataclass
class Box:
    """A node."""

    y: int
    read: bool
    height: int = 0
    words: list[Words] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Tap:
    """Where a half meets a lane."""

    y: int
    active: bool


@dataclass(frozen=True)
class Lane:
    """A subnet: the halves in it, and a number for the list of links."""

    x: int
    number: int
    taps: tuple[Tap, ...]

    @property
    def top(self) -> int:
        """Where it begins."""
        return min(tap.y for tap in self.taps)

    @property
    def bottom(self) -> int:
        """Where it ends."""
        return max(tap.y for tap in self.taps)

    @property
    def label(self) -> int:
        """Where its number stands: between the first two halves, which no other line crosses."""
        first, second, *_ = *sorted({tap.y for tap in self.taps}), self.bottom
        return (first + second) // 2

    @property
    def active(self) -> bool:
        """Whether at least two halves can reach each other over it."""
        return sum(tap.active for tap in self.taps) > 1


@dataclass(frozen=True)
class Drawing:
    """The boxes, the lanes, and the size."""

    boxes: tuple[Box, ...]
    lanes: tuple[Lane, ...]
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it is too wide to be shrunk to a phone's width."""
        return self.width > BOX + (NARROW + 1) * LANE


def drawing(
    diagram: Diagram,
    found: Sequence[Subnet],
    missing: Mapping[str, str],
    order: Sequence[str],
    safe: Callable[[str], str],
) -> Drawing:
    """The drawing of the nodes in this order; `missing` says why one is not in the diagram.

    Each text passes `safe` before it is broken into lines.
    """
    nodes = {node.name: node for node in diagram.nodes}
    alone = {(name, half.hca) for name, half in diagram.alone}
    heights: dict[tuple[str, str], int] = {}
    boxes: list[Box] = []
    y = 1
    for name in order:
        writer = _Writer(Box(y, read=name in nodes), safe)
        writer.write(name, "name", WIDE)
        if node := nodes.get(name):
            heights |= {(name, hca): at for hca, at in _halves(writer, node, alone)}
        else:
            writer.write(missing.get(name, "not read"), "broken", SMALL)
        box = writer.box
        box.height = writer.y - box.y + PAD
        boxes.append(box)
        y = box.y + box.height + GAP
    lanes, columns = _lanes(found, heights)
    width = BOX + (columns + 1) * LANE if columns else BOX + LANE
    return Drawing(tuple(boxes), lanes, width, y - GAP + 1)


class _Writer:
    """Writes lines into a box, from its top down."""

    def __init__(self, box: Box, safe: Callable[[str], str]) -> None:
        self.box = box
        self.y = box.y + PAD // 2
        self._safe = safe

    def write(self, text: str, kind: str, columns: int, x: int = PAD) -> None:
        """Write a text, on as many lines as it takes."""
        for line in _wrapped(self._safe(text), columns):
            self.y += LINE
            self.box.words.append(Words(self.y, x, line, kind))

    def mark(self, active: bool, alone: bool) -> int:
        """Mark the half that is written next; gives where its lane begins."""
        y = self.y + LINE - 4
        self.box.marks.append(Mark(y, active, alone))
        return y


def _wrapped(text: str, columns: int) -> Iterator[str]:
    for line in textwrap.wrap(text, columns) or [""]:
        yield from chop_cells(line, columns)


def _halves(
    writer: _Writer, node: Drawn, alone: Iterable[tuple[str, str]]
) -> Iterator[tuple[str, int]]:
    """Write a node's halves by cage; gives where each is."""
    for cage, ports in cages(replace(node, ports=node.ports[:MOST_HALVES])):
        if idle(ports):
            names = ", ".join(port.half.hca for port in ports)
            states = ", ".join(dict.fromkeys(port.port.state or "unknown" for port in ports))
            text = f"cage {cage}: {names}: {states}, no address"
            writer.write(text, "cage", SMALL)
            continue
        writer.write(f"cage {cage}", "cage", SMALL)
        for port in ports:
            stray = (node.name, port.half.hca) in alone
            yield port.half.hca, writer.mark(port.half.active, stray)
            writer.write(f"{port.half.hca} · {port.half.interface}", "half", WIDE - 2, PAD + MARK)
            kind = "state" if port.half.active and not stray else "broken"
            writer.write(_state(port, stray=stray), kind, SMALL - 2, PAD + MARK)
    if (more := len(node.ports) - MOST_HALVES) > 0:
        writer.write(f"{counted(more, 'more port')}, not drawn", "cage", SMALL)
    if node.without_netdev:
        names = ", ".join(node.without_netdev[:MOST_HALVES])
        writer.write(f"without a network interface: {names}", "broken", SMALL)
    elif not node.ports:
        writer.write("no RDMA device", "broken", SMALL)


def _state(port: Port, *, stray: bool) -> str:
    """A half's state, speed and addresses. Speed and rate outlive a pulled cable."""
    addresses = ", ".join(port.half.ipv4) or "no IPv4 address"
    if port.port.state != ACTIVE:
        return f"{down(port)} · {addresses}"
    return f"{ACTIVE} · {speed(port)} · {addresses}" + (" · faces no other node" if stray else "")


def _lanes(
    found: Sequence[Subnet], heights: Mapping[tuple[str, str], int]
) -> tuple[tuple[Lane, ...], int]:
    """A lane for each subnet, the shortest nearest to the boxes, and how many stand side by side.

    Two that do not overlap share a column.
    """
    taps = {
        number: tuple(
            Tap(heights[end.node, end.hca], end.active)
            for end in one.halves
            if (end.node, end.hca) in heights
        )
        for number, one in enumerate(found, 1)
    }
    spans = {n: (min(t.y for t in own), max(t.y for t in own)) for n, own in taps.items() if own}
    columns: list[list[tuple[int, int]]] = []
    lanes = []
    for number, (top, bottom) in sorted(spans.items(), key=lambda s: (s[1][1] - s[1][0], s[0])):
        free = (c for c, used in enumerate(columns) if all(bottom < a or top > b for a, b in used))
        column = next(free, len(columns))
        if column == MOST_COLUMNS:
            continue
        if column == len(columns):
            columns.append([])
        columns[column].append((top, bottom))
        lanes.append(Lane(BOX + (column + 1) * LANE, number, taps[number]))
    return tuple(sorted(lanes, key=lambda lane: lane.number)), len(columns)
