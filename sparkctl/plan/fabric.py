"""What the inventory fixes of a node's fabric, as fabric/ takes it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.errors import SparkctlError
from sparkctl.fabric.cabling import in_common, parsed
from sparkctl.fabric.cluster_selection import Choices, choose_all
from sparkctl.fabric.selection import FabricChoice, FabricSpec

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


def pair_address(
    inventory: Inventory, node: Node, peer: Node, facts: Mapping[str, NodeFacts]
) -> str:
    """The address of `node` in the subnet of the fabric that it shares with `peer`.

    Raises SparkctlError where that cannot be derived, or there is none.
    """
    chosen = _chosen(inventory, [node, peer], facts)
    found = [chosen[n.name] for n in (node, peer)]
    for choice in found:
        if isinstance(choice, SparkctlError):
            raise choice
    own, other = (choice for choice in found if isinstance(choice, FabricChoice))
    ours, theirs = (parsed(choice.addresses[0]) for choice in (own, other))
    if not in_common(ours, theirs):
        raise SparkctlError(
            f"{peer.name} ({theirs}) and {node.name} ({ours}) share no subnet of the fabric",
            node=peer.name,
            hint="`sparkctl fabric show` shows which ports face each other",
            code="fabric-apart",
            data={"peer": node.name},
        )
    return own.address


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
