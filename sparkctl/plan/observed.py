"""Which units run, by the processes and records of all nodes; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.facts import unread as facts_unread
from sparkctl.facts.unread import Missing
from sparkctl.node.unitid import node_of, replica_of, service_of
from sparkctl.node.units import READY, Absent, Process, Running, Unread
from sparkctl.plan.record import DAMAGED, NEWER, State, ended, state

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sparkctl.errors import SparkctlError
    from sparkctl.facts.node import NodeFacts
    from sparkctl.facts.processes import OurProcess
    from sparkctl.inventory.models import Inventory
    from sparkctl.node.units import Member, Observed, Unit
    from sparkctl.plan.record import Record

KEEPER = "log"  # the role of what watches a unit's program (node/launch.py)


class Seen:
    """What the nodes have of a cluster: `states` by node, each unit as observed, and `gaps`: the
    nodes of which that is not known, with the reason.
    """

    def __init__(
        self,
        inventory: Inventory,
        facts: Mapping[str, NodeFacts],
        errors: Mapping[str, SparkctlError] | None = None,
        departed: Mapping[str, NodeFacts] | None = None,
    ) -> None:
        self.states: dict[str, State] = {}
        self.damaged: dict[str, Missing] = {}  # by node, that its record is
        self.gaps: dict[str, str] = {n: e.message for n, e in (errors or {}).items()}
        self.processes: dict[str, list[tuple[str, OurProcess]]] = {}  # by node, with their unit
        services = {n.name: view.service for view in inventory.views for n in view.nodes}
        self.nodes, self.services = {n.name for n in inventory.nodes}, {*services.values()}
        default = inventory.views[0].service
        for node in inventory.nodes:
            if node.name not in facts:
                self.gaps.setdefault(node.name, "no facts were read")
                continue
            service = services.get(node.name, default)
            try:
                self._read(node.name, service, facts[node.name])
            except Missing as error:
                if error.code == NEWER:  # nothing may be concluded
                    raise
                self.gaps[node.name] = error.message
                if error.code == DAMAGED:
                    self.damaged[node.name] = error
                    if len(inventory.views) > 1 and node.name in services:
                        error.hint = ended(service)
        for name, known in (departed or {}).items():
            self._read(name, default, known)

    @classmethod
    def on(cls, node: str, service: str, state: State, processes: Iterable[OurProcess]) -> Seen:
        """What one node has, where no inventory names the others: of these nothing is known."""
        seen = cls.__new__(cls)
        seen.states, seen.damaged = {node: state}, {}
        seen.nodes, seen.services = {*state.nodes}, {service}
        seen.gaps = {other: "not asked" for other in state.nodes if other != node}
        seen.processes = {node: _by_unit(node, service, processes)}
        return seen

    def _read(self, node: str, service: str, facts: NodeFacts) -> None:
        processes = facts_unread.known(facts.ours)
        named = _by_unit(node, service, processes)
        self.states[node] = state(facts, service, node)
        if odd := [(u, p.pid) for u, p in named if u.count("/") != 3]:
            self.gaps[node] = f"process {odd[0][1]} is of {odd[0][0]}, which is no unit"
            return
        self.processes[node] = named

    @property
    def records(self) -> dict[str, Record]:
        """The record of each unit: of the node where it runs, whatever others have; if it runs
        nowhere, of the node in its id before others. It says what is run there to stop it.
        """
        found: dict[str, Record] = {}
        for node, there in self.states.items():
            for unit, record in there.units.items():
                places = self.places(unit)
                at_home = node_of(unit) == node
                if node in places or (not places and (at_home or unit not in found)):
                    found[unit] = record
        return found

    def places(self, unit: str) -> list[str]:
        """The nodes that have processes of a unit: one that was renamed has those of another."""
        return [n for n, found in self.processes.items() if any(of == unit for of, _ in found)]

    @property
    def several(self) -> bool:
        """Whether the inventory or the records have several services."""
        return len({*self.services, *map(service_of, self.records)}) > 1

    @property
    def recorded(self) -> dict[str, Unit]:
        """The units as they were started."""
        return {u: r.unit for u, r in self.records.items() if r.unit}

    def observed(self, desired: Mapping[str, Unit]) -> dict[str, Observed]:
        """Each desired unit, and each other that runs; `desired` have the members to look for."""
        ids = dict.fromkeys(
            [*desired, *(u for found in self.processes.values() for u, _ in found), *self._hidden()]
        )
        every = {**self.recorded, **desired}
        return {u: self._unit(u, every.get(u)) for u in ids}

    def _hidden(self) -> Iterator[str]:
        """The units that other nodes' states place on a node that could not be read."""
        for node in self.gaps:
            yield from (u for u in self.records if node_of(u) == node)

    def _unit(self, name: str, unit: Unit | None) -> Observed:
        node = unit.node if unit else node_of(name)
        places = self.places(name)
        if node in self.gaps or not (places or node in self.processes):
            return Unread(node, self.gaps.get(node, "the node is not in the inventory"))
        if not places:
            return Absent(node)
        # One that runs where it should not has to be stopped there.
        place = next((other for other in places if other != node), node)
        own = [p for of, p in self.processes[place] if of == name]
        record = self.records.get(name)
        elsewhere = self._members(name, unit.members if unit else ())
        return Running(
            node=place,
            run=record.run if record else own[0].run,
            digest=record.digest if record else "",
            phase=record.phase if record else READY,
            since=min(p.since for p in own),
            processes=(*(_process(place, p) for p in own), *elsewhere),
        )

    def _members(self, name: str, members: Collection[Member]) -> Iterator[Process]:
        """The ranks of a unit that live in other units of its replica."""
        replica = replica_of(name)
        for node in dict.fromkeys(m.node for m in members):
            for of, process in self.processes.get(node, ()):
                if process.rank and of != name and replica_of(of) == replica:
                    yield _process(node, process)


def _by_unit(
    node: str, service: str, processes: Iterable[OurProcess]
) -> list[tuple[str, OurProcess]]:
    return [(p.unit or f"{service}/0/{p.role}/{node}", p) for p in processes if p.role != KEEPER]


def _process(node: str, found: OurProcess) -> Process:
    return Process(node, found.pid, found.command, found.rank)
