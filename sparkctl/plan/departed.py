"""Nodes that a cluster was started on and that its inventory no longer has; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparkctl.doubts import Doubt
from sparkctl.inventory.models import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sparkctl.errors import SparkctlError
    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory
    from sparkctl.plan.record import State

MOST = 16  # nodes; a cluster has fewer
SSH = ("user", "port", "identity_file")  # the recorded settings that count
PORT = 22


@dataclass
class Departed:
    """The departed nodes that were reached and still belong to the cluster, with their facts, and
    the others, where nothing can be ended, with the reason why.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    facts: dict[str, NodeFacts] = field(default_factory=dict)
    lost: dict[str, Node] = field(default_factory=dict)
    errors: dict[str, SparkctlError] = field(default_factory=dict)

    def doubts(self) -> list[Doubt]:
        """What the user should know of the lost ones."""
        return [doubt(self.lost[name], error) for name, error in self.errors.items()]


def departed(inventory: Inventory, states: Iterable[State]) -> list[Node]:
    """The recorded nodes whose host and port no node of the inventory has, MOST at most.

    So a node that only has another name now is none of them. Where the inventory gives the name to
    another host, the host is added to it. What is recorded is data from a node: a host that the
    inventory would refuse is left out, and whom to trust is in the inventory's SSH settings alone.
    """
    places = {_place(inventory, node) for node in inventory.nodes}
    names = {node.name for node in inventory.nodes}
    found: list[Node] = []
    for name, recorded in _recorded(states):
        node = _node(name.partition("@")[0], recorded)
        if node is None or _place(inventory, node) in places or len(found) == MOST:
            continue
        if node.name in names:
            node = node.model_copy(update={"name": f"{node.name}@{node.host}"})
        names.add(node.name)
        places.add(_place(inventory, node))
        found.append(node)
    return found


def described(nodes: Iterable[Node]) -> dict[str, dict[str, Any]]:
    """What is recorded of these nodes: by name the host, and the SSH settings of its own."""
    return {
        n.name: {
            "host": n.host,
            "ssh": n.ssh.model_dump(mode="json", exclude_unset=True) if n.ssh else {},
        }
        for n in nodes
    }


def _recorded(states: Iterable[State]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = [item for state in states for item in state.nodes.items()]
    yield from sorted(found, key=lambda item: item[0])


def _node(name: str, recorded: Mapping[str, Any]) -> Node | None:
    ssh = recorded.get("ssh")
    own = {k: ssh[k] for k in SSH if k in ssh} if isinstance(ssh, dict) else {}
    value = {"name": name, "host": recorded.get("host"), "ssh": own or None}
    try:
        node = Node.model_validate(value)
    except ValueError:
        return None
    return None if node.host.startswith("-") else node


def _place(inventory: Inventory, node: Node) -> tuple[str, int]:
    return node.host, inventory.ssh_of(node).port or PORT


def doubt(node: Node, error: SparkctlError) -> Doubt:
    """That what runs on a departed node was not ended, and why."""
    return Doubt(
        "node-departed",
        f"{node.name} ({node.host}) is no longer in the inventory, and what runs there was not"
        f" ended: {error.message}. Run `sparkctl up` or `sparkctl down` when it is reachable;"
        f" `sparkctl status --host {node.host}` shows what runs there",
        {"node": node.name, "host": node.host, "code": error.code},
    )
