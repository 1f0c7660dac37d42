"""The units of a service as far as its inventory alone gives them; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.choice import NO_RECIPE
from sparkctl.engines.engine import Part, Replica
from sparkctl.engines.table import engine_of
from sparkctl.fabric.selection import FabricChoice
from sparkctl.plan.paths import temp_dir
from sparkctl.plan.placed import place, units_of
from sparkctl.runtimes.table import RUNTIMES

if TYPE_CHECKING:
    from sparkctl.inventory.models import View
    from sparkctl.node.units import Unit

NOWHERE = FabricChoice("0.0.0.0", (), (), ())  # a node's own needs its facts


def outline(view: View) -> dict[str, Unit]:
    """A service's units by id, in the order of its engine: which node has which kind, its title,
    its members and what makes it ready. Addresses, homes and digests are not known.
    """
    nodes = (view.head, *view.workers)
    parts = {node.name: Part(node, NOWHERE, {}, "~") for node in nodes}
    runtime = RUNTIMES[view.runtime.name]
    temporary = temp_dir(view.cluster)
    places = {node.name: place(view, node.name, temporary, {}) for node in nodes}
    replica = Replica(view, parts, NO_RECIPE, runtime, places, temporary)
    return {unit.id: unit for unit in units_of(engine_of(view.vllm), replica)}
