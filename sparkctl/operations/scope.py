"""What a run works on: the services whose nodes can all be reached and read; the others are left
alone, with all that runs of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sparkctl.errors import ConnectError, RemoteTimeout, SparkctlError, combined
from sparkctl.node.unitid import service_of
from sparkctl.node.units import Running, Unread

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.inventory.models import Inventory, Node, View
    from sparkctl.node.units import Observed


@dataclass(frozen=True)
class Left:
    """A service that is left alone because of an error of this node; `service` is empty for a node
    that has none. `command` is what to run again.
    """

    service: str
    node: str
    error: SparkctlError
    command: str = "sparkctl up"

    def __str__(self) -> str:
        what = (
            f"service {self.service}"
            if self.service
            else f"node {self.node}, which has no service,"
        )
        return f"{what} is left alone: {self.error}"

    @property
    def hint(self) -> str:
        """What to do."""
        why = self.error.hint or "`sparkctl doctor` shows why"
        if isinstance(self.error, (ConnectError, RemoteTimeout)):
            return f"{why}; run `{self.command}` again when {self.node} answers"
        return why if self.error.hint else f"{why}; then run `{self.command}` again"

    def document(self) -> dict[str, object]:
        """As JSON; part of the contract that scripts rely on."""
        return {
            "service": self.service or None,
            "node": self.node,
            "code": self.error.code,
            "why": self.error.message,
            "hint": self.hint,
        }


@dataclass
class Scope:
    """The `services` that a command is for (all without one), and why some are left alone: the
    `errors` of nodes, and those of services that were `blocked`. Unless it is `partial` none is.
    """

    inventory: Inventory
    services: Collection[str] = ()
    partial: bool = False
    errors: dict[str, SparkctlError] = field(default_factory=dict)
    blocked: dict[str, SparkctlError] = field(default_factory=dict)

    def leave(self, errors: Mapping[str, SparkctlError], what: str = "failed") -> None:
        """Leave the services of these nodes alone.

        Raises the errors where no service remains or this is not `partial`. `what` the nodes did is
        for several nodes' errors.
        """
        names = {node.name for node in self.inventory.nodes}
        self.errors.update({n: e for n, e in errors.items() if n in names})
        self._require(what)

    def block(self, errors: Mapping[str, SparkctlError]) -> None:
        """Leave these services alone. Raises as `leave` does."""
        self.blocked.update(errors)
        self._require("failed")

    def _require(self, what: str) -> None:
        left = self.left
        if left and not (self.partial and self.views):
            raise combined({one.node: one.error for one in left}, what)

    @property
    def left(self) -> list[Left]:
        """What of the command's services is left alone; without services also of other nodes."""
        every = self._left()
        return [one for one in every if not self.services or one.service in self.services]

    def _left(self) -> list[Left]:
        found = []
        for node in self.inventory.nodes:
            if error := self.errors.get(node.name):
                view = self.inventory.view_of(node)
                found.append(self._one(view.service if view else "", node.name, error))
        known = {one.service for one in found}
        more = self.blocked.items()
        return found + [self._one(s, e.node or "", e) for s, e in more if s not in known]

    def _one(self, service: str, node: str, error: SparkctlError) -> Left:
        command = f"restart {service}" if service in self.services else "up"
        return Left(service, node, error, f"sparkctl {command}")

    @property
    def left_services(self) -> set[str]:
        """The services that nothing may be changed of, also those that the command is not for."""
        return {one.service for one in self._left()} - {""}

    @property
    def views(self) -> list[View]:
        """The services that the command works on."""
        left = self.left_services
        every = [view for view in self.inventory.views if view.service not in left]
        return [v for v in every if not self.services or v.service in self.services]

    @property
    def nodes(self) -> list[Node]:
        """The nodes that it may change: those of no service that is left alone."""
        left = self.left_services
        kept = [n for n in self.inventory.nodes if n.name not in self.errors]
        gone = {n.name for v in self.inventory.views if v.service in left for n in v.nodes}
        return [n for n in kept if n.name not in gone]

    def observed(
        self, observed: Mapping[str, Observed], more: Collection[str] = ()
    ) -> dict[str, Observed]:
        """The units that concern these services: what runs on other nodes than `nodes` and `more`
        cannot be stopped, and so counts as unread.
        """
        left = self.left_services
        if not left and not self.errors:
            return dict(observed)
        nodes = {n.name for n in self.nodes} | {*more}
        found = {u: o for u, o in observed.items() if service_of(u) not in left}
        return {
            u: Unread(o.node, "it runs on a node of a service that is left alone")
            if isinstance(o, Running) and o.node not in nodes
            else o
            for u, o in found.items()
        }
