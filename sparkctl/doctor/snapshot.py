"""All that the checks read: the inventory, and what was collected from the nodes; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from sparkctl.doctor.environment import Environment
from sparkctl.doctor.looks import Looks
from sparkctl.engines.table import engine_of
from sparkctl.engines.vllm.environment import merge
from sparkctl.errors import PreflightError, SparkctlError
from sparkctl.fabric.topology import Half, halves
from sparkctl.fabric.version import NEWEST, Version
from sparkctl.facts.unread import Missing, Unread, known
from sparkctl.node.unitid import service_of
from sparkctl.plan.fabric import fabric_choices
from sparkctl.plan.observed import Seen
from sparkctl.plan.outline import outline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.engines.engine import Engine
    from sparkctl.engines.setting import Setting
    from sparkctl.fabric.selection import FabricChoice
    from sparkctl.facts.groups import NcclFile
    from sparkctl.facts.node import NodeFacts
    from sparkctl.facts.processes import OurProcess
    from sparkctl.facts.unread import Kind
    from sparkctl.inventory.layers import Layer
    from sparkctl.inventory.models import Inventory, Node
    from sparkctl.node.units import Unit

T = TypeVar("T")


class NoFacts(Missing):
    """There are no facts of the node in `data`."""

    code = "no-facts"

    def __init__(self, node: str, reason: str, kind: Kind) -> None:
        super().__init__(reason, what="facts", kind=kind)
        self.data["node"] = node


@dataclass
class Snapshot:
    """The cluster as collected; `nodes` are the ones asked about, the others are their peers.

    `errors`: why a node is unreachable; `unreadable`: why a reachable one gave no facts. Every
    accessor raises Missing for what could not be read, which the runner turns into UNKNOWN:
    missing data is never OK.
    """

    inventory: Inventory
    nodes: tuple[Node, ...]
    layers: list[Layer]
    login: Mapping[str, float] = field(default_factory=dict)  # seconds from TCP to the login's end
    errors: Mapping[str, SparkctlError] = field(default_factory=dict)
    unreadable: Mapping[str, SparkctlError] = field(default_factory=dict)
    all_facts: Mapping[str, NodeFacts] = field(default_factory=dict)
    asked: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    looks: Looks = field(default_factory=Looks)
    passive: bool = False
    whole: Inventory | None = None  # the inventory that a part's is a view of
    # Many checks need the same; facts do not change.
    _halves: dict[str, tuple[Half, ...]] = field(default_factory=dict, init=False)
    _planned: dict[str, tuple[dict[str, Setting], dict[str, str]]] = field(
        default_factory=dict, init=False
    )
    _choices: dict[str, FabricChoice | SparkctlError] = field(default_factory=dict, init=False)
    _observed: Seen | None = field(default=None, init=False)
    _outline: dict[str, Unit] = field(default_factory=dict, init=False)

    @property
    def parts(self) -> list[Snapshot]:
        """One for each service with a node asked about: the same, as that service sees it."""
        if not self.inventory.services:
            return [self]
        asked = {*self.names}
        narrow = [(v, [n for n in v.nodes if n.name in asked]) for v in self.inventory.views]
        return [
            replace(self, inventory=v, nodes=tuple(n), whole=self.inventory) for v, n in narrow if n
        ]

    @property
    def rest(self) -> Snapshot | None:
        """The same as the nodes asked about see it that have no service, by another's settings."""
        nodes = tuple(n for n in self.nodes if self.inventory.view_of(n) is None)
        own = self.inventory.views[0].model_copy(update={"nodes": [*nodes], "service": ""})
        return replace(self, inventory=own, nodes=nodes, whole=self.inventory) if nodes else None

    @property
    def observed(self) -> Seen:
        """The cluster's records, and the processes by unit. Raises Missing for a newer record."""
        if self._observed is None:
            errors = {**self.unreadable, **self.errors}
            self._observed = Seen(self.inventory, self.all_facts, errors)
        return self._observed

    @property
    def engine(self) -> Engine:
        """The engine of the service that this is about, the first one of several."""
        return engine_of(self.inventory.views[0].vllm)

    @property
    def started(self) -> dict[str, Unit]:
        """The service's units by id, as they were started. Raises as `observed` does."""
        service = self.inventory.views[0].service
        return {u: one for u, one in self.observed.recorded.items() if service_of(u) == service}

    @property
    def units(self) -> list[Unit]:
        """The service's units as they were started, and as the inventory gives them."""
        try:
            started = [*self.started.values()]
        except Missing:  # what was started is judged by the checks of it
            started = []
        if not self._outline:
            self._outline.update(outline(self.inventory.views[0]))
        return [*started, *self._outline.values()]

    def node(self, name: str) -> Node:
        """The inventory's node of that name."""
        return next(n for n in self.inventory.nodes if n.name == name)

    @property
    def names(self) -> list[str]:
        """The nodes asked about, in the inventory's order."""
        return [n.name for n in self.nodes]

    @property
    def known(self) -> list[str]:
        """The nodes asked about of which there are facts."""
        return [name for name in self.names if name in self.all_facts]

    @property
    def reached(self) -> list[str]:
        """All nodes of which there are facts, also those that were not asked about."""
        return [n.name for n in self.inventory.nodes if n.name in self.all_facts]

    @property
    def hosts(self) -> dict[str, str]:
        """The known nodes by NCCL's names for them: it cuts a host name at the first dot (its
        src/misc/utils.cc).
        """
        return {self.facts(n).hostname.partition(".")[0]: n for n in self.known}

    def absence(self, name: str) -> NoFacts:
        """Why there are no facts of a node."""
        if name in self.errors:
            return NoFacts(name, f"{name} is unreachable", "failed")
        if name in self.unreadable:
            reason = f"the facts of {name} could not be read, see reach.facts"
            return NoFacts(name, reason, "failed")
        return NoFacts(name, "no facts", "unasked")

    def facts(self, name: str) -> NodeFacts:
        """All facts of a node. Raises NoFacts if there are none."""
        if name not in self.all_facts:
            raise self.absence(name)
        return self.all_facts[name]

    def seen(self, look: Mapping[str, T | Unread], name: str) -> T:
        """What one of `looks` gave for a node."""
        if name not in look:
            self.facts(name)
            reason = "skipped with --passive" if self.passive else "not collected"
            raise Missing(reason, what="look", kind="unasked")
        found = look[name]
        if isinstance(found, Unread):
            raise Missing(found.reason, what=found.what, kind=found.kind)
        return found

    def halves(self, name: str) -> tuple[Half, ...]:
        """A node's halves, of every cage."""
        if name not in self._halves:
            self._halves[name] = halves(self.facts(name))
        return self._halves[name]

    def _choose(self, name: str) -> FabricChoice | SparkctlError:
        self.halves(name)
        if not self._choices:
            self._choices.update(fabric_choices(self.whole or self.inventory, self.all_facts))
        return self._choices[name]

    def choice_error(self, name: str) -> SparkctlError | None:
        """Why the fabric of a node cannot be derived; None if it can."""
        found = self._choose(name)
        return found if isinstance(found, SparkctlError) else None

    def choice(self, name: str) -> FabricChoice:
        """The part of the fabric that `up` would use on a node."""
        found = self._choose(name)
        if isinstance(found, SparkctlError):
            raise Missing(f"the fabric of {name} is not known, see fabric.choice", what="fabric")
        return found

    def cage(self, name: str) -> list[Half]:
        """All halves of the chosen cage, also those that are not used.

        If none can be chosen, the halves of each cage with an address, else of each with an ACTIVE
        port: the checks show why.
        """
        found = self.halves(name)
        alive = {h.cage for h in found if h.ipv4} or {h.cage for h in found if h.active}
        if alive and isinstance(self.choice_error(name), PreflightError):
            return [h for h in found if h.cage in alive]
        used = self._used_cages(name)
        return [h for h in found if h.cage in used]

    def _used_cages(self, name: str) -> set[int]:
        interfaces, hcas = self.choice(name).interfaces, self.choice(name).hcas
        used = {h.cage for h in self.halves(name) if h.interface in interfaces or h.hca in hcas}
        if not used:
            raise Missing(f"no RDMA device belongs to {', '.join(interfaces)}", what="cage")
        return used

    def environment(self, name: str) -> Environment:
        """What a process that `up` starts would have: the plan over what it inherits."""
        return self.planned(name).over(self._inherited(name)[0])

    def _inherited(self, name: str) -> tuple[Mapping[str, str], str]:
        """The variables of a login, or of the image whose containers have nothing of that; and
        whose they are.
        """
        if self.contained:
            runtime = known(self.facts(name).runtime)
            return runtime.environment, f"the image {runtime.place}"
        return known(self.facts(name).settings).session, f"the login environment of {name}"

    @property
    def contained(self) -> bool:
        """Whether the service that this is about runs in containers."""
        return self.inventory.views[0].runtime.name == "container"

    def planned(self, name: str) -> Environment:
        """What layers and inventory set on a node; if its fabric is not known, neither is what
        derives from it.
        """
        settings, why = self._plan(name)
        return Environment({k: s.value for k, s in settings.items()}, why)

    def effective(self, name: str) -> Environment:
        """What NCCL has in such a process: that environment over NCCL's own files."""
        found: dict[str, str] = {}
        for file in reversed(self._conf(name)):
            found.update(file.values)
        return self.environment(name).over(found)

    def _conf(self, name: str) -> tuple[NcclFile, ...]:
        """NCCL's own files; a container does not have the node's."""
        return () if self.contained else known(self.facts(name).settings).conf

    def _plan(self, name: str) -> tuple[dict[str, Setting], dict[str, str]]:
        """The settings that are known, and why the others are not."""
        if name not in self._planned:
            facts = self.facts(name)
            node, choice, reason = self.node(name), None, ""
            try:
                choice = self.choice(name)
            except Missing as error:
                reason = error.message
            inventory = self.inventory.view_for(node)
            settings = self.engine.environment(inventory, node, choice, self.layers, facts)
            names = merge(inventory, node, self.layers) if choice is None else {}
            why = {n: reason for n in names if n not in settings}
            self._planned[name] = settings, why
        return self._planned[name]

    def nccl_version(self, name: str) -> Version:
        """The version of the runtime's NCCL wheel; the newest supported one if it is not known."""
        runtime = self.facts(name).runtime
        if isinstance(runtime, Unread):
            return NEWEST
        for package, text in runtime.versions.items():
            if package.startswith("nvidia_nccl") and all(p.isdigit() for p in text.split(".")):
                return tuple(int(p) for p in text.split("."))
        for library in (runtime.nccl or {}).values():  # of an image's system
            if library.version and all(p.isdigit() for p in library.version.split(".")):
                return tuple(int(p) for p in library.version.split("."))
        return NEWEST

    def origin(self, name: str, variable: str) -> str:
        """Where NCCL gets a variable from."""
        planned, (inherited, whose) = self._plan(name)[0], self._inherited(name)
        if variable in planned:
            return f"layer {planned[variable].layer}"
        if variable in inherited:
            return whose
        files = (f.path for f in self._conf(name) if variable in f.values)
        return next(files, "nowhere")

    def serves(self, name: str) -> bool:
        """Whether the engine or one of its ranks runs on a node."""
        return any(p.role == self.engine.kind or p.rank for p in self.running(name))

    def running(self, name: str, role: str = "") -> list[OurProcess]:
        """The cluster's processes on a node, of one role, a kind of units, or of all."""
        return [p for p in known(self.facts(name).ours) if not role or p.role == role]
