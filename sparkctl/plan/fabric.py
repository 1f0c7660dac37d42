"""What the inventory fixes of a node's fabric, as fabric/ takes it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.cluster_selection import Choices, choose_all
from sparkctl.fabric.selection import FabricSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, Node


def fabric_choices(inventory: Inventory, facts: Mapping[str, NodeFacts]) -> Choices:
    """What each node of which there are facts uses, or why that cannot be derived.

    It is chosen for all nodes of a service together; for a node without a service, for all nodes.
    """
    chosen: Choices = {}
    for view in inventory.views:
        chosen |= _chosen(inventory, (view.head, *view.workers), facts)
    if any(node.name not in chosen and node.name in facts for node in inventory.nodes):
        chosen = {**_chosen(inventory, inventory.nodes, facts), **chosen}
    return chosen


def _chosen(inventory: Inventory, nodes: Iterable[Node], facts: Mapping[str, NodeFacts]) -> Choices:
    return choose_all([fabric_spec(inventory, node) for node in nodes], facts)


def fabric_spec(inventory: Inventory, node: Node) -> FabricSpec:
    """The node's own values, and what holds for all nodes."""
    own, common = node.fabric, inventory.fabric
    return FabricSpec(
        node=node.name,
        cage=own.cage,
        common_cage=None if common.cage == "auto" else common.cage,
        interfaces=None if own.interfaces is None else tuple(own.interfaces),
        hcas=None if own.hcas is None else tuple(own.hcas),
        addresses=None if own.addresses is None else tuple(own.addresses),
        subnets=None if common.subnets == "auto" else tuple(common.subnets),
    )
