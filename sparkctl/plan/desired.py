"""What each node should run, from the inventory and the node's own facts; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparkctl.engines.engine import Part, Replica
from sparkctl.engines.setting import Setting
from sparkctl.engines.table import engine_of
from sparkctl.errors import SparkctlError
from sparkctl.plan.fabric import fabric_choices
from sparkctl.plan.paths import temp_dir
from sparkctl.plan.placed import place, units_of
from sparkctl.plan.record import make
from sparkctl.runtimes.table import RUNTIMES
from sparkctl.secret.value import revealed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.engines.choice import Choice
    from sparkctl.engines.engine import Engine
    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import View
    from sparkctl.node.units import Unit
    from sparkctl.plan.record import Record
    from sparkctl.runtimes.runtime import Place, Runtime

OWN_LAYER = "sparkctl"


@dataclass(frozen=True)
class Desired:
    """What the nodes of one service should run: `parts` by node, the head first; `units` with
    their digests, and what each would be recorded with.

    Secrets in it show a mask: what goes to a node is `revealed`.
    """

    inventory: View
    engine: Engine
    parts: dict[str, Part]
    units: dict[str, Unit]
    records: dict[str, Record]
    recipe: Choice
    runtime: Runtime
    places: dict[str, Place]

    @property
    def head(self) -> Part:
        """The head's part."""
        return self.parts[self.inventory.head.name]

    @property
    def addresses(self) -> dict[str, str]:
        """Each fabric address, to the name of its node."""
        return {p.choice.address: name for name, p in self.parts.items()}

    def argv(self, node: str, kind: str) -> tuple[str, ...]:
        """The command line of the node's unit of this kind; empty without one."""
        found = (u for u in self.units.values() if u.node == node and u.kind == kind)
        return next((unit.program.argv for unit in found), ())

    def record(self, unit: str) -> Record:
        """What a start of this unit is recorded with, even where what ran has a digest alone."""
        found = self.records[unit]
        if found.environment is not None:
            return found
        started = self.units[unit]
        return make("", started.program.argv, self.values(started.node))

    def values(self, node: str) -> dict[str, str]:
        """The environment of a node without the layers that it came from."""
        return {name: setting.value for name, setting in self.parts[node].environment.items()}


def desire(
    view: View,
    layers: list[Layer],
    facts: Mapping[str, NodeFacts],
    started: Mapping[str, Record] | None = None,
) -> Desired:
    """What the nodes of a service should run; `view` is its view of the inventory.

    A unit that was `started` in the same way has the same digest. Raises SparkctlError when a
    node's fabric cannot be derived or does not fit the inventory, or what is needed of the model
    could not be read.
    """
    engine = engine_of(view.vllm)
    recipe = engine.recipe(view, facts[view.head.name])
    choices = _choices(view, facts)
    temporary = temp_dir(view.cluster)
    parts, places = {}, {}
    for node in (view.head, *view.workers):
        home = facts[node.name].home
        environment = engine.environment(view, node, choices[node.name], layers, facts[node.name])
        own = engine.own(view, home, temporary)
        environment.update({k: Setting(v, OWN_LAYER) for k, v in own.items()})
        parts[node.name] = Part(node, choices[node.name], environment, home)
        values = {name: revealed(setting.value) for name, setting in environment.items()}
        places[node.name] = place(
            view, node.name, temporary, facts, environment=values, started=started
        )
    runtime = RUNTIMES[view.runtime.name]
    replica = Replica(view, parts, recipe, runtime, places, temporary)
    units = {unit.id: unit for unit in units_of(engine, replica)}
    found = Desired(view, engine, parts, units, {}, recipe, runtime, places)
    return _sealed(found, started or {})


def _sealed(desired: Desired, started: Mapping[str, Record]) -> Desired:
    """With the units' digests, which are comparable with those of what was started."""
    records = {}
    for name, unit in desired.units.items():
        values = desired.values(unit.node)
        before = started.get(name)
        again = before.again if before else lambda argv, env: make("", argv, env)
        records[name] = again(unit.program.argv, values)
    units = {n: replace(u, digest=records[n].digest) for n, u in desired.units.items()}
    return replace(desired, units=units, records=records)


def _choices(view: View, facts: Mapping[str, NodeFacts]) -> dict[str, FabricChoice]:
    """Each node's fabric. Raises the first node's error."""
    found = fabric_choices(view, facts)
    choices = {}
    for node in view.nodes:
        choice = found[node.name]
        if isinstance(choice, SparkctlError):
            raise choice
        choices[node.name] = choice
    return choices
