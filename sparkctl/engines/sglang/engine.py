"""SGLang as a row of the table of engines: a rank a node, which torch brings together.

The launchers of all nodes are one group: if one ends, only new ones on all nodes serve again. Only
rank 0 counts for health: another node's answers /health with 200 whatever happens (0.5.23, run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.engine import Codes, Engine, Graphs, Judged
from sparkctl.engines.sglang.arguments import problems
from sparkctl.engines.sglang.commandline import MEET, sglang_argv
from sparkctl.engines.sglang.environment import BUILT_IN, render
from sparkctl.engines.sglang.recipe import SHARE, choose, unread
from sparkctl.engines.sglang.rules import cuda_graphs, warnings
from sparkctl.engines.vllm.launcher import model, own_environment
from sparkctl.engines.vllm.placement import planned_ranks
from sparkctl.engines.vllm.tls import api_base, local_base
from sparkctl.facts.calls import SGLANG_LINE
from sparkctl.node.units import (
    RANK,
    STARTED,
    Generates,
    LogStages,
    Member,
    Need,
    Program,
    Stop,
    Unit,
)

if TYPE_CHECKING:
    from sparkctl.engines.engine import Progress, Replica
    from sparkctl.engines.explanation import Explanation
    from sparkctl.inventory.models import Inventory

KIND = "sglang"  # of the units, and the engine's name
EXECUTOR = "mp"
GRACE = 20.0  # seconds to end on TERM: SGLang waits for its requests; idle it takes four
SEARCHED = 60  # lines in which a start that waits has its last milestone


def units(replica: Replica) -> list[Unit]:
    """`sglang serve` on each node that has ranks, the head's first.

    Rank 0 needs the others to be started, so it is stopped before them: its launcher ends all ranks
    in order, while another's alone waits for it (0.5.23, run).
    """
    count = {n: ranks for n, ranks in planned_ranks(replica.inventory).items() if ranks}
    head, *others = [_rank(replica, i, n, count) for i, n in enumerate(count)]
    return [head, *others]


def _rank(replica: Replica, rank: int, node: str, count: dict[str, int]) -> Unit:
    inventory, home = replica.inventory, replica.parts[node].home
    argv = sglang_argv(
        inventory,
        replica.recipe,
        home,
        address=replica.head.choice.address,
        rank=rank,
        nodes=len(count),
    )
    others = [replica.unit(KIND, name) for name in count if name != node]
    serves = (
        LogStages(KIND, inventory.vllm.stall_timeout),
        Generates(local_base(inventory.vllm), model(inventory, home)),
    )
    return Unit(
        id=replica.unit(KIND, node),
        node=node,
        kind=KIND,
        title=f"SGLang rank {rank}" if rank else "SGLang",
        group=replica.name,
        program=Program(argv),
        needs=() if rank else tuple(Need(u, STARTED, follows=False) for u in others),
        members=(Member(node, "serve"), Member(node, RANK, count[node])),
        ready=() if rank else serves,
        stop=Stop(GRACE, leader=True),
    )


def _ports(inventory: Inventory) -> dict[str, int]:
    """Where the ranks meet; none where they are on one node."""
    several = sum(map(bool, planned_ranks(inventory).values())) > 1
    return {"dist-init-addr": MEET} if several else {}


def _progress() -> Progress:
    from sparkctl.engines.sglang.progress import Progress as Log  # only a start needs it

    return Log()


def _explain(progress: Progress, *, waited: bool) -> Explanation | None:
    from sparkctl.engines.sglang.failures import SGLANG, WAITING, explain

    known = explain([progress.described], SGLANG) if progress.described else None
    return known or (explain(progress.lines[-SEARCHED:][::-1], WAITING) if waited else None)


SGLANG = Engine(
    title="SGLang",
    kind=KIND,
    executors=(EXECUTOR,),
    units=units,
    environment=render,
    built_in=BUILT_IN,
    host_ip="SGLANG_HOST_IP",
    base=lambda inventory, host: api_base(inventory.vllm, host),
    model=model,
    own=own_environment,
    recipe=choose,
    unread=unread,
    doubts=warnings,
    problems=problems,
    judged=Judged(
        modules=("torch", "sglang"),
        packages=("sglang", "torch"),
        memory=SHARE,
        checkpoint=True,
        recipes=True,
        counted="set enable-metrics: true in {key}.arguments, so that SGLang counts its steps",
        graphs=Graphs(
            cuda_graphs,
            "disable-decode-cuda-graph and disable-prefill-cuda-graph in {key}.arguments",
        ),
    ),
    parser=SGLANG_LINE,
    ports=_ports,
    progress=_progress,
    explain=_explain,
    codes=Codes("sglang-running", "sglang-exited", "sglang-failed", "sglang-stalled"),
)
