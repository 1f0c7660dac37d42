"""One run's view of a cluster: the inventory, the connections and each node's facts."""

from __future__ import annotations

import time
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sparkctl.engines.table import engine_of
from sparkctl.engines.vllm.environment import BUILT_IN_LAYER, merge
from sparkctl.errors import ConnectError, InventoryError, SparkctlError
from sparkctl.facts.calls import CLAIM, IN_IMAGE, PROBE, STALE_LEASE
from sparkctl.facts.decode import decode
from sparkctl.inventory.layers import Layer, load_layers
from sparkctl.inventory.validate import worker_range
from sparkctl.node.calls import CALLS
from sparkctl.operations.scope import Scope
from sparkctl.plan.departed import Departed
from sparkctl.plan.paths import APPLIED, temp_dir
from sparkctl.remote import node_rpc
from sparkctl.remote.command import LIMIT
from sparkctl.remote.fanout import GroupResult, each
from sparkctl.remote.reconnect import lasting
from sparkctl.runtimes.contained import sources
from sparkctl.runtimes.container import TOOLS
from sparkctl.secret.value import public

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from sparkctl.facts.answers import LeaseTaken, Recalled
    from sparkctl.facts.calls import Call
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, Node, Runtime
    from sparkctl.operations.lease import Lease
    from sparkctl.remote.connection import Connection
    from sparkctl.remote.pool import Pool
    from sparkctl.remote.reconnect import Patience

T = TypeVar("T")
# Where huggingface_hub looks for its cache (2.4.0, constants.py).
HUB_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@dataclass
class Session:
    """Connections to the nodes; `base` is the folder that holds the inventory."""

    inventory: Inventory
    base: Path
    pool: Pool
    facts: dict[str, NodeFacts] = field(default_factory=dict)
    unread: dict[str, SparkctlError] = field(default_factory=dict)  # instead of facts
    # The controller's clock just before and after each node was asked for its facts.
    asked: dict[str, tuple[float, float]] = field(default_factory=dict)
    lease: Lease | None = None  # while it is held, see operations/lease.py
    patience: Patience | None = None  # with lost connections, while the lease is held
    recalled: dict[str, Recalled] = field(
        default_factory=dict
    )  # by service, see operations/look.py
    departed: Departed = field(default_factory=Departed)  # as operations/departed.py found them
    scope: Scope = field(init=False)  # what the command works on, see operations/scope.py

    def __post_init__(self) -> None:
        self.scope = Scope(self.inventory)

    def again(self) -> Session:
        """This session before it has read a fact: for another look over the same connections."""
        fresh = copy(self)
        fresh.facts, fresh.unread, fresh.asked = {}, {}, {}
        return fresh

    def begin(self, services: Collection[str] = ()) -> None:
        """Work on these services, all without one, as far as their nodes were reached.

        Raises the nodes' errors where none can be worked on.
        """
        self.scope = Scope(self.inventory, services, partial=True)
        self.scope.leave(self.pool.errors, "cannot be reached")

    def node(self, name: str) -> Node:
        """The inventory's node of that name, or a departed one."""
        return self.departed.nodes.get(name) or self.inventory.node(name)

    def within(self, view: Inventory) -> Session:
        """This session as one service sees it.

        Connections and facts are shared, and the lease that is held now.
        """
        seen = copy(self)
        seen.inventory = view
        return seen

    def ask(
        self,
        node: Node,
        call: Call[T],
        request: dict[str, Any],
        *,
        timeout: float | None = None,
        title: str = "",
        python: str = node_rpc.SYSTEM,
        inside: Sequence[str] = (),
        leased: bool = True,
        root: bool = False,
        limit: int = LIMIT,
    ) -> T:
        """Call a function of sparkctl/node on a node, by its `python` or, behind the words of
        `inside`, by a container's. Returns its answer.

        One that changes the node goes with the lease, which the node checks first (not `leased`:
        the lease's own calls). It runs as the login, or as `root`. Raises RemoteError when the node
        cannot be reached, the call fails or the answer has another shape than facts/ declares,
        LeaseLostError when the lease is no longer in force there.

        With `patience` a lost connection is made again and the call repeated, unless it may have
        changed the node and cannot be repeated (node/calls.py).
        """
        bounds = CALLS[call.target]
        lease = self._guard() if bounds.mutates and leased else None
        command = node_rpc.call(
            call.target,
            {"cluster": self.inventory.cluster, **request},
            timeout=timeout,
            title=title,
            python=python,
            inside=inside,
            lease=lease.guard(node) if lease else None,
            root=root,
            limit=limit,
        )
        self.connection(node)
        with self._hurried_by_ctrl_c():
            result = lasting(
                self.pool,
                node.name,
                self.patience,
                lambda connection: connection.run(command),
                repeatable=bounds.repeatable,
            )
        if lease is not None and result.status == node_rpc.STALE:
            stale = decode(STALE_LEASE, result.stdout, node.name, command.title)
            raise lease.refused(node.name, stale.holder)
        return decode(call, result.check().stdout, node.name, command.title)

    def hurry(self) -> None:
        """Wait for no lost connection from now on: calls on it fail at once."""
        if self.patience is not None:
            self.patience.over.set()

    @contextmanager
    def _hurried_by_ctrl_c(self) -> Iterator[None]:
        """A rollback after Ctrl-C does not wait for a node that is gone."""
        try:
            yield
        except KeyboardInterrupt:
            self.hurry()
            raise

    def connection(self, node: Node) -> Connection:
        """The connection to a node. Raises why there is none."""
        if node.name not in self.pool.connections:
            lost = ConnectError(
                "not connected", node=node.name, hint="run the command again", code="not-connected"
            )
            raise self.pool.errors.get(node.name, lost)
        return self.pool.connections[node.name]

    def _guard(self) -> Lease:
        if self.lease is None:
            raise SparkctlError(
                "a command changes a node without holding the lease",
                hint="this is a bug in sparkctl; please report it",
                code="bug",
            )
        self.lease.check()
        return self.lease

    def ask_all(
        self,
        nodes: Iterable[Node],
        call: Call[T],
        request: Callable[[Node], dict[str, Any]],
        *,
        timeout: float | None = None,
        title: str = "",
        leased: bool = True,
        meanwhile: Callable[[], object] | None = None,
    ) -> GroupResult[T]:
        """The same call on several nodes at once; every node's answer or error is kept.

        `meanwhile` is called once while they are waited for.
        """
        with self._hurried_by_ctrl_c():
            return each(
                list(nodes),
                lambda node: self.ask(
                    node, call, request(node), timeout=timeout, title=title, leased=leased
                ),
                key=lambda node: node.name,
                meanwhile=meanwhile,
            )

    def probe(self, nodes: Iterable[Node]) -> GroupResult[NodeFacts]:
        """All facts of these nodes; those not known yet are read, one round trip each.

        They are kept in `facts`, or the error in `unread`.
        """
        wanted = list(nodes)
        new = [n for n in wanted if n.name not in self.facts and n.name not in self.unread]
        found = each(new, self._read, key=lambda node: node.name)
        self.facts.update(found.ok)
        self.unread.update(found.failed)
        return GroupResult(
            {n.name: self.facts[n.name] for n in wanted if n.name in self.facts},
            {n.name: self.unread[n.name] for n in wanted if n.name in self.unread},
        )

    @cached_property
    def _layers(self) -> list[Layer]:
        try:
            return load_layers(self.inventory, self.base)
        except InventoryError:  # commands that need the layers report it; `down` needs none
            return []

    def claim(self, node: Node, take: dict[str, Any]) -> LeaseTaken:
        """Take the lease on a node, and keep its facts where it is taken; see node/claim.py."""
        cluster = {"cluster": self.inventory.cluster}
        probe = self._probe_request(node)
        request = {"take": take | cluster, "probe": probe | cluster}
        before = time.time()
        found = self.ask(node, CLAIM, request, leased=False, title="take the lease")
        if found.facts is not None:
            self._keep(node, found.facts, before)
        return found.taken

    def read_apart(self, node: Node) -> NodeFacts:
        """The facts of a node that the inventory does not have; they are not kept in `facts`."""
        request = self._probe_request(node)
        return self.ask(node, PROBE, request, title="read the node's facts").of(node.name)

    def _read(self, node: Node) -> NodeFacts:
        before, request = time.time(), self._probe_request(node)
        facts = self.ask(node, PROBE, request, title="read the node's facts")
        return self._keep(node, facts, before)

    def _keep(self, node: Node, facts: NodeFacts, before: float) -> NodeFacts:
        self.asked[node.name] = (before, time.time())
        self.facts[node.name] = facts.of(node.name)
        return self.facts[node.name]

    def _probe_request(self, node: Node) -> dict[str, Any]:
        view = self.inventory.view_for(node)
        ray, vllm, engine = view.ray, view.vllm, engine_of(view.vllm)
        ports = (
            ray.port,
            ray.dashboard_port,
            ray.node_manager_port,
            ray.object_manager_port,
            vllm.port,
            *engine.ports(view).values(),
        )
        own = Layer(BUILT_IN_LAYER, dict(engine.built_in))
        planned = merge(view, node, [own, *self._layers])
        conf_file = planned.get("NCCL_CONF_FILE")
        revision = vllm.arguments.get("revision")
        return {
            "venv": view.runtime.venv,
            "image": view.runtime.image or "",
            "tools": _tools(view.runtime),
            "mounts": sources(view.runtime),
            "reader": node_rpc.reader(IN_IMAGE.target) if view.runtime.image else None,
            "model": vllm.model,
            "revision": None if revision is None else str(revision),
            "hub": {
                name: planned[name].value.replace("${NODE}", node.name)
                for name in HUB_VARIABLES
                if name in planned
            },
            "ports": [p for p in ports if p is not None],
            "worker_ports": worker_range(self.inventory),
            "temp_dir": temp_dir(self.inventory.cluster),
            "names": [APPLIED],
            "lease": self.lease.token if self.lease else None,
            "watch": list(public({name: s.value for name, s in planned.items()})),
            "conf_file": conf_file.value if conf_file else "",
        }


def _tools(runtime: Runtime) -> list[str]:
    """The container engines that may run this, the first choice first; none for a venv."""
    if not runtime.image:
        return []
    return [*TOOLS] if runtime.tool == "auto" else [runtime.tool]
