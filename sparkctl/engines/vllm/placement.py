"""Where the ranks are, by Ray's own placement, against where the plan has them; pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sparkctl.errors import ServingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparkctl.facts.answers import RayTable
    from sparkctl.inventory.models import Inventory, Vllm


EVEN = "mp"  # the executor whose nodes have the same number of ranks
# Each multiplies the ranks. Decode context parallelism divides those of tensor parallelism.
SIZES = ("pipeline-parallel-size", "prefill-context-parallel-size", "data-parallel-size")


def rank_count(settings: Vllm) -> int:
    """The ranks that a service's settings ask for; a size that is no number counts as 1."""
    count = settings.tensor_parallel_size
    for flag in SIZES:
        text = str((settings.arguments or {}).get(flag))
        count *= int(text) if text.isdecimal() else 1
    return count


def planned_ranks(inventory: Inventory) -> dict[str, int]:
    """The ranks of each node: the head's GPUs first, then the workers' in the inventory's order.

    With fewer ranks than GPUs Ray may take another worker, which is as good. mp has the same number
    on each node.
    """
    nodes = (inventory.head, *inventory.workers)
    left, planned, most = rank_count(inventory.vllm), dict[str, int](), None
    if inventory.vllm.executor == EVEN:
        most = even_share(left, inventory.gpus_of(inventory.head), len(nodes))
    for node in nodes:
        planned[node.name] = min(left, most or inventory.gpus_of(node))
        left -= planned[node.name]
    return planned


def even_share(ranks: int, gpus: int, nodes: int) -> int | None:
    """The ranks of each node, the same on as few as hold them; None where they do not divide.

    A launcher's --nnodes must divide the ranks (vLLM 0.32, engine/arg_utils.py; SGLang 0.5.23).
    """
    shares = (ranks // n for n in range(1, nodes + 1) if ranks % n == 0)
    return next((share for share in shares if share <= gpus), None)


def spans_nodes(inventory: Inventory) -> bool:
    """Whether the plan has ranks on more than one node."""
    return sum(map(bool, planned_ranks(inventory).values())) > 1


def placements(table: RayTable) -> list[Counter[str]]:
    """The ranks at each address, for each placement group that Ray has made; a rank has a GPU."""
    address = {n.id: n.address for n in table.nodes}
    return [
        found
        for group in table.groups
        if group.state == "CREATED"
        and (
            found := Counter(
                address.get(node or "", node or "")
                for bundle, node in group.bundles.items()
                if group.gpus.get(bundle, 1)
            )
        )
    ]


def misplaced(
    inventory: Inventory, names: Mapping[str, str], table: RayTable
) -> ServingError | None:
    """The error that names each node and its ranks; None when no node has too many.

    `names` maps the fabric addresses to the nodes. An address without a node may have no rank.
    """
    most = {n.name: inventory.gpus_of(n) for n in inventory.nodes}
    for found in placements(table):
        ranks = Counter({names.get(address, address): n for address, n in found.items()})
        if over := [name for name, count in ranks.items() if count > most.get(name, 0)]:
            return _error(inventory, ranks, over)
    return None


def _error(inventory: Inventory, ranks: Mapping[str, int], over: Sequence[str]) -> ServingError:
    planned = planned_ranks(inventory)
    nodes = [n.name for n in inventory.nodes]
    unknown = [name for name in over if name not in nodes]
    each = ", ".join(
        f"{name} has {ranks.get(name, 0)}, expected {planned.get(name, 0)}"
        for name in dict.fromkeys([*nodes, *ranks])
    )
    if unknown:
        node, hint = inventory.head.name, f"stop what else joined this Ray: {', '.join(unknown)}"
    else:
        node = over[0]
        hint = (
            f"set `ray.num_gpus: {inventory.gpus_of(inventory.node(node))}` in the inventory: Ray"
            f" counts more GPUs on {node} and fills a node before it uses the next"
        )
    return ServingError(
        f"the ranks are on other nodes than planned: {each}",
        node=node,
        hint=hint,
        code="ranks-misplaced",
        data={"over": [*over], "unknown": unknown},
    )
