"""vLLM over its own multiprocessing: a launcher on each node, the ranks as its children; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm.placement import planned_ranks
from sparkctl.engines.vllm.tls import local_base
from sparkctl.node.units import RANK, Generates, LogStages, Member, Program, Stop, Unit

if TYPE_CHECKING:
    from sparkctl.engines.engine import Part, Replica

GRACE = 10.0


def units(replica: Replica, kind: str, model: str, argv: tuple[str, ...]) -> list[Unit]:
    """A launcher for each node that has ranks, the head's first; all are one group."""
    ranks = {name: count for name, count in planned_ranks(replica.inventory).items() if count}
    inventory = replica.inventory
    several = len(ranks) > 1
    found = []
    for index, (name, count) in enumerate(ranks.items()):
        line = argv
        if several:
            line += ("--nnodes", str(len(ranks)), "--node-rank", str(index))
            line += ("--master-addr", replica.head.choice.address)
            if index:
                line += ("--headless",)
        ready = (
            LogStages("vllm", inventory.vllm.stall_timeout),
            Generates(local_base(inventory.vllm), model),
        )
        found.append(
            Unit(
                id=replica.unit(kind, name),
                node=name,
                kind=kind,
                title="vLLM worker" if index else "vLLM",
                group=replica.name,
                program=replica.runtime.start(Program(line)),
                members=(Member(name, "serve"), Member(name, RANK, count)),
                ready=() if index else ready,
                stop=Stop(GRACE),
            )
        )
    return found
