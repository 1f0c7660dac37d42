"""How what nodes have recorded is stopped: those that need others first, each in its own way; pure.

As `up` stops units, and without facts: a node has recorded each unit as it was started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparkctl.node.difference import waves
from sparkctl.node.units import Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparkctl.node.units import Unit
    from sparkctl.plan.record import State


class Round(NamedTuple):
    """What nodes are asked at once, by their names; `title` for people."""

    title: str
    requests: dict[str, dict[str, Any]]


def request(units: Sequence[str], how: Stop, only: str | None = None) -> dict[str, Any]:
    """What a node is asked to stop these units in one way; `only` limits it to one run's."""
    found = {"units": [*units], "run": only, "grace": how.grace, "last": list(how.last)}
    return {**found, "leader": how.leader, "argv": list(how.argv)}


def recorded(states: Mapping[str, State], names: Iterable[str]) -> dict[str, dict[str, Unit]]:
    """The units that these nodes have recorded, by node, but for an older sparkctl's."""
    return {
        name: {u: r.unit for u, r in states[name].units.items() if r.unit}
        for name in names
        if name in states
    }


def complete(states: Mapping[str, State], names: Iterable[str]) -> bool:
    """Whether each of these nodes has recorded units, and none that an older sparkctl started."""
    return all(
        name in states
        and states[name].units
        and all(r.unit is not None for r in states[name].units.values())
        for name in names
    )


def rounds(there: Mapping[str, Mapping[str, Unit]]) -> Iterator[Round]:
    """The stops of the units that nodes have recorded, in their order.

    A unit's members may also be on other nodes, which wait for them. A node stops at once what
    stops in the same way.
    """
    every = {u: unit for units in there.values() for u, unit in units.items()}
    for wave in _waves(every):
        left = {name: _ways(name, units, wave, every) for name, units in there.items()}
        while any(left.values()):
            asked = {name: ways.popitem() for name, ways in left.items() if ways}
            titles = dict.fromkeys(every[u].title for _, units in asked.values() for u in units)
            requests = {name: request(units, how) for name, (how, units) in asked.items()}
            yield Round(f"stop {', '.join(titles)}", requests)


def _waves(every: Mapping[str, Unit]) -> list[list[str]]:
    try:
        return waves([*every], every)[::-1]
    except ValueError:  # what nodes have recorded need not fit together
        return [[*every]]


def _ways(
    node: str, units: Mapping[str, Unit], wave: Sequence[str], every: Mapping[str, Unit]
) -> dict[Stop, list[str]]:
    """The units of a wave that are recorded on a node or have members there, by their way.

    What another node has recorded names no command for this one.
    """
    found: dict[Stop, list[str]] = {}
    for name in wave:
        if name in units:
            found.setdefault(units[name].stop, []).append(name)
        elif any(member.node == node for member in every[name].members):
            found.setdefault(Stop(), []).append(name)
    return found
