"""What differs between a start and what it should be now, in words; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.node.unitid import service_of
from sparkctl.node.units import Generates, Running

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.node.units import Observed
    from sparkctl.plan.desired import Desired
    from sparkctl.plan.observed import Seen

SHOWN = 5  # changed settings in one line


def changed(desired: Sequence[Desired], seen: Seen) -> dict[str, str]:
    """What differs between each unit's record and what it should be started with, in words."""
    found: dict[str, str] = {}
    for service in desired:
        found |= (moved := _moved(service, seen))
        for name, now in service.records.items():
            if name in moved:
                continue
            before = seen.records.get(name)
            lines = before.changes(now) if before else ["the record of its start is missing"]
            if lines:
                more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
                found[name] = ", ".join(lines[:SHOWN]) + more
    return found


def gone(
    desired: Sequence[Desired], seen: Seen, observed: Mapping[str, Observed]
) -> dict[str, str]:
    """Why units end where they run: their service is still in the inventory, and has other nodes
    than this one of the inventory.
    """
    found: dict[str, str] = {}
    for service in desired:
        titles = [unit.title for unit in service.units.values()]
        new = {
            unit.title: unit.node
            for u, unit in service.units.items()
            if titles.count(unit.title) == 1 and not isinstance(observed.get(u), Running)
        }
        for name, one in observed.items():
            if service_of(name) != service.inventory.service or not isinstance(one, Running):
                continue
            if one.node in seen.nodes and one.node not in service.parts:
                unit = seen.recorded.get(name)
                to = new.get(unit.title) if unit else None
                found[name] = f"moved to {to}" if to else "no longer on this node"
    return found


def _moved(service: Desired, seen: Seen) -> dict[str, str]:
    """The units that run on the nodes of a service whose head is another than before, with that."""
    own = {
        u: unit for u, unit in seen.recorded.items() if service_of(u) == service.inventory.service
    }
    heads = [u.node for u in own.values() if any(isinstance(r, Generates) for r in u.ready)]
    head = service.inventory.head.name
    if not heads or head in heads:
        return {}
    return {u: f"the head moved to {head}" for u, unit in own.items() if unit.node in service.parts}
