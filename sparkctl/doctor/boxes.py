"""The containers of a service: the engine that it has, and the looks into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.doctor.remedy import command
from sparkctl.errors import PreflightError
from sparkctl.facts.calls import BOX_LOOK, IN_BOX
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.node.containertools import architecture, transient
from sparkctl.node.units import CONTAINER
from sparkctl.plan import placed
from sparkctl.plan.paths import temp_dir
from sparkctl.remote.node_rpc import reader
from sparkctl.runtimes import contained, container

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.doctor.snapshot import Snapshot
    from sparkctl.facts.containers import BoxLook, Container, ContainerEngine, Containers
    from sparkctl.inventory.models import Node
    from sparkctl.operations.session import Session
    from sparkctl.runtimes.runtime import Place

SECONDS = 50.0  # for a container of a cold image to start; a warm one takes 0.5
RUNNING = "running"
FIRST = next(iter(container.TOOLS))  # of tool: auto


def tool(snapshot: Snapshot) -> str:
    """The container engine of the service: the one that the inventory names, or by the nodes of
    which there are facts. That may be one that has yet to be repaired on some of them. Raises
    Missing where none is on all of them.
    """
    view = snapshot.inventory.views[0]
    if view.runtime.tool != "auto":
        return view.runtime.tool
    known_of = {
        node.name: facts
        for node in view.nodes
        if (facts := snapshot.all_facts.get(node.name)) and not isinstance(facts.containers, Unread)
    }
    found = [known(facts.containers) for facts in known_of.values()]
    try:
        usable = placed.tool_of(view, known_of, snapshot.observed.records)
    except PreflightError as error:
        if installed := _installed(found):
            return installed
        raise Missing(error.message, what="containers", kind="absent") from None
    if usable == FIRST or any(each.engines[usable].image for each in found):
        return usable
    # One that works by chance must not hide the trouble of the one that the nodes are meant for.
    return _installed(found) or usable


def _installed(found: Sequence[Containers]) -> str:
    """The engine that is installed on each node, working or not: the one that has the image on most
    of them, or else the first; empty without one.
    """
    everywhere = [
        tool
        for tool in container.TOOLS
        if all(tool in e.engines and e.engines[tool].problem != "absent" for e in found)
    ]

    def holders(tool: str) -> int:
        return sum(each.engines[tool].image is not None for each in found)

    return max(everywhere, key=holders, default="")


def engine(snapshot: Snapshot, name: str) -> ContainerEngine:
    """The same as a node has it. Raises Missing where it cannot be used there."""
    engines = known(snapshot.facts(name).containers).engines
    chosen = tool(snapshot)
    if chosen not in engines or engines[chosen].problem:
        raise Missing(f"{chosen} cannot be used on {name}", what="containers", kind="absent")
    return engines[chosen]


def all_of(snapshot: Snapshot, name: str) -> list[tuple[str, Container]]:
    """All containers on a node that its login may see, with their engine. Raises Missing where no
    engine can be used.
    """
    engines = known(snapshot.facts(name).containers).engines
    usable = {tool: found for tool, found in engines.items() if not found.problem}
    if not usable:
        raise Missing(f"no container engine can be used on {name}", what="containers")
    return [(tool, one) for tool, found in usable.items() for one in found.containers]


def is_own(snapshot: Snapshot, name: str, one: Container) -> bool:
    """Whether this login started a container for this cluster."""
    owner = (snapshot.inventory.cluster, str(snapshot.facts(name).uid))
    return (one.cluster, one.user) == owner


def words(snapshot: Snapshot, name: str, new: str) -> tuple[str, ...]:
    """What runs the program that follows in the service's container on a node, or in one like it,
    of the name `new`, where that does not run. Raises Missing where neither can be.
    """
    at = _place(snapshot, name)
    _runs_python(snapshot, name)
    own = container.name(at.view.cluster, at.unit(CONTAINER))
    lives = any(
        one.name == own and one.state == RUNNING and is_own(snapshot, name, one)
        for one in engine(snapshot, name).containers
    )
    return contained.inside(at) if lives else contained.once(at, new)


def sync(snapshot: Snapshot, source: str) -> str:
    """The command that copies the service's image from a node to its others."""
    service = snapshot.inventory.views[0].service
    several = snapshot.whole is not None and len(snapshot.whole.views) > 1
    services = [service] if several and service else []
    # Without --from it refuses to choose where two images are on as many nodes each.
    return command("sparkctl", "image", "sync", *services, "--from", source)


def _runs_python(snapshot: Snapshot, name: str) -> None:
    """Raises Missing where no program can be run in the image, which other checks say."""
    image = snapshot.inventory.views[0].runtime.image
    facts, found = snapshot.facts(name), engine(snapshot, name).image
    if found is None:
        raise Missing(f"{name} does not have the image {image}", what="inside", kind="absent")
    if found.architecture != architecture(facts.machine):
        text = f"{image} is built for {found.architecture}, see container.image"
        raise Missing(text, what="inside")
    runtime = facts.runtime
    if not isinstance(runtime, Unread) and runtime.exists and runtime.python is None:
        raise Missing(f"{image} has no python3, see runtime.present", what="inside")


def _place(snapshot: Snapshot, name: str) -> Place:
    view = snapshot.inventory.views[0]
    try:
        started = snapshot.observed.records
        temporary, known_of = temp_dir(view.cluster), snapshot.all_facts
        return placed.place(view, name, temporary, known_of, started=started)
    except PreflightError as error:
        raise Missing(error.message, what="containers", kind="absent") from None


def look(session: Session, snapshot: Snapshot, node: Node) -> BoxLook:
    """What a process in the service's container on a node has."""
    program, name = reader(IN_BOX.target), transient(snapshot.inventory.cluster)
    request = {
        **program,
        "argv": [*words(snapshot, node.name, name), *program["argv"]],
        "seconds": SECONDS,
        "container": name,
    }
    return session.ask(node, BOX_LOOK, request, title="look into the container")
