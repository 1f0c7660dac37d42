"""What the inventory fixes of a node's fabric, as fabric/ takes it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.fabric.selection import FabricSpec

if TYPE_CHECKING:
    from sparkctl.inventory.models import Inventory, Node


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
