"""The toy engine's row: two ranks (gang.py) that start, are ready and are replaced together.

With the executor `line` each is by itself, and rank 1 starts first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.engines.engine import Engine
from sparkctl.engines.vllm.environment import render
from sparkctl.node.units import STARTED, Generates, LogStages, Member, Need, Program, Stop, Unit
from tests.lab.toy.gang import MODEL
from tests.lab.toy.progress import Progress

if TYPE_CHECKING:
    from sparkctl.engines.engine import Part, Replica

PROGRAM = "/opt/toy/gang.py"  # on the nodes
KIND = "rank"


def units(replica: Replica) -> list[Unit]:
    """A unit for each of one or two nodes, the head's rank first."""
    ranks = [_rank(replica, rank, part) for rank, part in enumerate(replica.parts.values())]
    if replica.inventory.vllm.executor == "gang":
        return ranks
    first, second = (replace(rank, group=rank.id) for rank in ranks)
    return [second, replace(first, needs=(Need(second.id, STARTED),))]


def _rank(replica: Replica, rank: int, part: Part) -> Unit:
    port, node = replica.inventory.vllm.port, part.node.name
    stages = LogStages("toy", replica.inventory.vllm.stall_timeout)
    meet = (replica.head.choice.address, str(port + 1 if len(replica.parts) > 1 else 0))
    return Unit(
        id=replica.unit(KIND, node),
        node=node,
        kind=KIND,
        title=f"toy rank {rank}",
        group=replica.name,
        program=Program(("python3", PROGRAM, str(rank), *meet, str(port))),
        members=(Member(node, PROGRAM),),
        ready=() if rank else (stages, Generates(f"http://127.0.0.1:{port}", MODEL)),
        stop=Stop(grace=5.0),
    )


def row() -> Engine:
    """The engine as a row of the table."""
    return Engine(
        title="toy",
        kind=KIND,
        executors=("gang", "line"),
        units=units,
        environment=render,
        base=lambda inventory, host: f"http://{host}:{inventory.vllm.port}",
        model=lambda _inventory, _home: MODEL,
        progress=Progress,
    )
