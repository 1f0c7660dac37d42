"""Whose cluster it is: one of another account, or another of this name, is refused."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from sparkctl.errors import ForeignClusterError
from sparkctl.facts.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts import groups
    from sparkctl.facts.answers import Cluster
    from sparkctl.inventory.models import Inventory
    from sparkctl.operations.session import Session
    from sparkctl.plan.observed import Seen
    from sparkctl.plan.record import State

ID = 16  # characters of an id
HINT = (
    "give one of them another name in its inventory, or end it with its own inventory;"
    " `sparkctl status --host NODE` shows what runs on a node"
)


def require(session: Session, seen: Seen) -> None:
    """Raise ForeignClusterError when a node has another cluster of this name."""
    same_name(session.inventory.cluster, seen.states)
    for name, facts in session.facts.items():
        if not isinstance(facts.state, Unread):
            same_account(session.inventory.cluster, name, facts.state)


def identity(inventory: Inventory, seen: Seen) -> str:
    """The cluster's id: what its nodes have, else a new one.

    A new one follows from the name and the nodes, so that a start on a part of the nodes gives the
    id that those have which cannot be read now.
    """
    nodes = sorted([n.host, inventory.ssh_of(n).port or 0] for n in inventory.nodes)
    text = json.dumps([inventory.cluster, nodes])
    return known_id(seen.states) or hashlib.sha256(text.encode()).hexdigest()[:ID]


def known_id(states: Mapping[str, State]) -> str:
    """The id that these nodes have; empty for an older sparkctl's cluster, or none."""
    return next((state.id for state in states.values() if state.id), "")


def same_name(cluster: str, states: Mapping[str, State]) -> None:
    """Raise ForeignClusterError when the nodes have clusters with different ids."""
    nodes: dict[str, list[str]] = {}
    for node, state in states.items():
        if state.id:
            nodes.setdefault(state.id, []).append(node)
    if len(nodes) < 2:
        return
    described = "; ".join(
        f"{', '.join(names)} ({_made(states[names[0]])})" for names in nodes.values()
    )
    raise ForeignClusterError(
        f"the nodes have {len(nodes)} clusters with the name {cluster}: {described}",
        hint=HINT,
        code="cluster-name-taken",
        data={"ids": list(nodes), "nodes": [" ".join(names) for names in nodes.values()]},
    )


def foreign(cluster: str, node: str, other: Cluster) -> ForeignClusterError:
    """The error for a node that has another cluster of this name."""
    made = f"{other.by.get('who', 'unknown')} at {other.by.get('when', 'unknown')}"
    return ForeignClusterError(
        f"the node has another cluster with the name {cluster}, started by {made}",
        node=node,
        hint=HINT,
        code="cluster-name-taken",
        data={"ids": [other.id], "nodes": list(other.nodes)},
    )


def _made(state: State) -> str:
    by = state.by
    nodes = ", ".join(state.nodes)
    return f"started by {by.get('who', 'unknown')} at {by.get('when', 'unknown')} on {nodes}"


def same_account(cluster: str, node: str, found: groups.State) -> None:
    """Raise ForeignClusterError when another account of the node runs a cluster of this name."""
    owner = found.temp_dir_owner
    others = [o.user or f"uid {o.uid}" for o in found.others]
    if owner is not None and owner.uid != found.uid:
        others.insert(0, owner.user or f"uid {owner.uid}")
    if others:
        raise ForeignClusterError(
            f"account {others[0]} runs a cluster with the name {cluster} there",
            node=node,
            hint="give yours another name in the inventory, or log in as that account",
            code="cluster-of-other-account",
            data={"account": others[0], "cluster": cluster},
        )
