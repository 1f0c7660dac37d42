"""What the inventory fixes of a node's fabric, as fabric/ takes it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.cluster_selection import Choices, choose_all
from sparkctl.fabric.selection import FabricSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.facts.node import NodeFacts
    from sparkctl.inventory.models import Inventory, Node


def fabric_choices(inventory: Inventory, facts: Mapping[str, NodeFacts]) -> Choices:
    """What each node of which there are facts uses, or why that cannot be derived."""
    nodes = (inventory.head, *inventory.workers)
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
