"""Where a service's units run on each node: in a virtual environment or a container; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import PreflightError
from sparkctl.facts.unread import known
from sparkctl.node.unitid import kind_of, service_of
from sparkctl.node.units import CONTAINER
from sparkctl.runtimes.container import TOOLS
from sparkctl.runtimes.runtime import Login, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.engines.engine import Engine, Replica
    from sparkctl.facts.containers import Containers
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import View
    from sparkctl.node.units import Unit
    from sparkctl.plan.record import Record


def units_of(engine: Engine, replica: Replica) -> list[Unit]:
    """A replica's units in its runtime, each after what it needs."""
    runtime, places = replica.runtime, replica.places
    units = engine.units(replica)
    bases = [runtime.base(places[node]) for node in dict.fromkeys(unit.node for unit in units)]
    within = [runtime.within(places[unit.node], unit) for unit in units]
    return [*(base for base in bases if base is not None), *within]


def place(
    view: View,
    node: str,
    temp_dir: str,
    facts: Mapping[str, NodeFacts],
    *,
    environment: Mapping[str, str] | None = None,
    started: Mapping[str, Record] | None = None,
) -> Place:
    """A node for the view's runtime; without `facts` of it only its name is known.

    `started`: what the engine of `auto` is known by, as in `tool_of`.
    Raises Missing where its container engines could not be read, PreflightError where no engine
    works on all nodes.
    """
    replica, found = f"{view.service}/0", facts.get(node)
    if found is None or not view.runtime.image:
        login = Login(home=found.home) if found else Login()
        return Place(view, node, replica, temp_dir, login)
    box, tool = known(found.containers), tool_of(view, facts, started)
    login = Login(found.user, found.uid, box.gid, box.groups, found.home)
    used = box.engines[tool]
    return Place(
        view,
        node,
        replica,
        temp_dir,
        login,
        environment or {},
        tool,
        used.rootless,
        used.image.id if used.image else "",
        box.infiniband,
    )


def tool_of(
    view: View, facts: Mapping[str, NodeFacts], started: Mapping[str, Record] | None = None
) -> str:
    """The container engine of a service: of those that its nodes can use, and whose images they
    have, the first; the one that it was `started` with, as long as that is recorded. Raises as
    `place` does.
    """
    wanted = view.runtime.tool
    names = _started(view, started or {}) if wanted == "auto" else [wanted]
    nodes = {n.name: known(facts[n.name].containers) for n in view.nodes if n.name in facts}
    usable = [name for name in names if not any(_why_not(box, name) for box in nodes.values())]
    whole = [name for name in usable if all(box.engines[name].image for box in nodes.values())]
    if usable:
        return (whole or usable)[0]
    why = {
        node: ", ".join(f"{name}: {_why_not(box, name)}" for name in names if _why_not(box, name))
        for node, box in nodes.items()
    }
    raise PreflightError(
        "no container engine works on every node: "
        + "; ".join(f"{node}: {reason}" for node, reason in why.items() if reason),
        hint="run `sparkctl doctor` for what to do on each node",
        code="no-container-engine",
        data={"tools": names, "nodes": [node for node, reason in why.items() if reason]},
    )


def _started(view: View, started: Mapping[str, Record]) -> list[str]:
    """The engine that started a service's containers, else all: what runs is not ended only because
    its engine does not answer.
    """
    used = {
        record.argv[0]
        for unit, record in started.items()
        if service_of(unit) == view.service and kind_of(unit) == CONTAINER and record.argv
    }
    return [tool for tool in TOOLS if tool in used][:1] or [*TOOLS]


def _why_not(found: Containers, name: str) -> str:
    """Why a node cannot use this engine; empty if it can."""
    engine = found.engines.get(name)
    if engine is None:
        return "it was not looked for"
    return engine.reason or engine.problem
