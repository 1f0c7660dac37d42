"""A report's part on the fabric: the drawing, and the same in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkctl.fabric.diagram import draw
from sparkctl.fabric.hca import ACTIVE
from sparkctl.facts.unread import Unread
from sparkctl.output.report.drawing import BOX, PAD, drawing
from sparkctl.output.report.nodecards import WITHHELD
from sparkctl.output.report.subnets import cages, down, idle, subnets
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.fabric.diagram import Diagram
    from sparkctl.output.report.subnets import Subnet

MOST_LISTED = 64  # subnets in the list


def fabric(
    snapshot: Snapshot, withheld: Collection[str], safe: Callable[[str], str]
) -> dict[str, Any]:
    """What the templates print of the fabric; `safe` masks a text before it is broken."""
    order = [node.name for node in snapshot.inventory.nodes]
    missing = {n: why for n in order if (why := _missing(snapshot, n, withheld))}
    facts = {n: snapshot.all_facts[n] for n in order if n not in missing}
    diagram = draw(facts, {})
    found = subnets(diagram)
    listed = found[:MOST_LISTED]
    absent = [f"{name}: {why}." for name, why in missing.items()]
    drawn = drawing(diagram, listed, missing, order, safe)
    return {
        "drawing": drawn,
        "width": BOX,
        "pad": PAD,
        "links": listed,
        "remarks": [
            *_remarks(diagram, found, len(drawn.lanes)),
            *(f"{n}: {why}" for n, why in missing.items()),
        ],
        "description": " ".join(
            [
                *(f"{n}: {s.name}, {s.state}: {s.ends}." for n, s in enumerate(listed, 1)),
                *absent,
            ]
        ),
    }


def _missing(snapshot: Snapshot, name: str, withheld: Collection[str]) -> str:
    """Why a node's devices are not shown."""
    facts = snapshot.all_facts.get(name)
    if name in snapshot.errors:
        return "not reached"
    if name in snapshot.unreadable:
        return "its facts could not be read"
    if facts is None:
        return "not asked"
    if name in withheld:
        return WITHHELD
    return next((str(group) for group in (facts.ib, facts.net) if isinstance(group, Unread)), "")


def _remarks(diagram: Diagram, found: list[Subnet], lanes: int) -> list[str]:
    """What is strange, and what is not shown."""
    remarks = [
        f"{name} {half.hca} shares its subnet with no other node." for name, half in diagram.alone
    ]
    remarks += [
        f"{node.name} {port.half.hca} is {down(port)}."
        for node in diagram.nodes
        for _, ports in cages(node)
        for port in ports
        if not idle(ports) and port.port.state != ACTIVE
    ]
    if not found and len(diagram.nodes) > 1:
        remarks.insert(0, "No two nodes share a subnet.")
    if (more := min(len(found), MOST_LISTED) - lanes) > 0:
        remarks.append(f"{counted(more, 'subnet')} not drawn.")
    if (more := len(found) - MOST_LISTED) > 0:
        remarks.append(f"{counted(more, 'more subnet')} not shown.")
    return remarks
