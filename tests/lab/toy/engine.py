"""The toy engine's row: two ranks (gang.py) that start, are ready and are replaced together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.engine import Engine
from sparkctl.engines.vllm.environment import render
from sparkctl.node.units import Generates, Member, Program, Stop, Unit
from tests.lab.toy.gang import MODEL

if TYPE_CHECKING:
    from sparkctl.engines.engine import Part, Replica

PROGRAM = "/opt/toy/gang.py"  # on the nodes
KIND = "rank"


def units(replica: Replica) -> list[Unit]:
    """A unit for each of one or two nodes, the head's rank first."""
    return [_rank(replica, rank, part) for rank, part in enumerate(replica.parts.values())]


def _rank(replica: Replica, rank: int, part: Part) -> Unit:
    port, node = replica.inventory.vllm.port, part.node.name
    meet = (replica.head.choice.address, str(port + 1 if len(replica.parts) > 1 else 0))
    return Unit(
        id=replica.unit(KIND, node),
        node=node,
        kind=KIND,
        title=f"toy rank {rank}",
        group=replica.name,
        program=replica.runtime.start(Program(("python3", PROGRAM, str(rank), *meet, str(port)))),
        members=(Member(node, PROGRAM),),
        ready=() if rank else (Generates(f"http://127.0.0.1:{port}", MODEL),),
        stop=Stop(grace=5.0),
    )


def row() -> Engine:
    """The engine as a row of the table."""
    return Engine(
        title="toy",
        kind=KIND,
        executors=("gang",),
        units=units,
        environment=render,
        base=lambda inventory, host: f"http://{host}:{inventory.vllm.port}",
        model=lambda _inventory, _home: MODEL,
    )
