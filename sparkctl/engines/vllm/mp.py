"""vLLM over its own multiprocessing: a launcher on each node, with the ranks as its children; pure.

The flags: vLLM 0.32, engine/arg_utils.py and entrypoints/cli/serve.py (run).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparkctl.engines.vllm import rules
from sparkctl.engines.vllm.arguments import problem
from sparkctl.engines.vllm.commandline import vllm_argv
from sparkctl.engines.vllm.launcher import GRACE, SERVE, generates, stages
from sparkctl.engines.vllm.placement import planned_ranks
from sparkctl.node.units import RANK, Member, Program, Stop, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparkctl.engines.engine import Replica
    from sparkctl.inventory.models import Argument, Inventory
    from sparkctl.inventory.paths import Path, Problem

MASTER_PORT = "master-port"  # where the ranks meet on the head; the others' ports are random
DEFAULT_PORT = 29501  # vLLM's, ParallelConfig.master_port
# What sparkctl gives each launcher; `arguments` may not.
OWN_FLAGS = ("nnodes", "node-rank", "master-addr", "headless")


def units(replica: Replica) -> list[Unit]:
    """A launcher on each node that has ranks, the head's first; together they are one group."""
    ranks = {name: count for name, count in planned_ranks(replica.inventory).items() if count}
    return [_launcher(replica, ranks, index) for index in range(len(ranks))]


def _launcher(replica: Replica, ranks: dict[str, int], index: int) -> Unit:
    inventory, home = replica.inventory, replica.head.home
    name, count = [*ranks.items()][index]
    argv = vllm_argv(inventory, replica.recipe, replica.parts[name].home)
    return Unit(
        id=replica.unit(SERVE, name),
        node=name,
        kind=SERVE,
        title=f"vLLM node {index}" if index else "vLLM",
        group=replica.name,
        program=Program((*argv, *_place(replica, len(ranks), index))),
        members=(Member(name, "serve"), Member(name, RANK, count)),
        ready=() if index else (stages(inventory), generates(inventory, home)),
        stop=Stop(GRACE),
    )


def _place(replica: Replica, nodes: int, index: int) -> tuple[str, ...]:
    """The flags that make one engine of several launchers; only the first has an API."""
    if nodes == 1:
        return ()
    place = ("--nnodes", str(nodes), "--node-rank", str(index))
    return (*place, "--master-addr", replica.head.choice.address, *["--headless"] * bool(index))


def problems(path: Path, arguments: Mapping[str, Argument]) -> Iterator[Problem]:
    """The arguments that vLLM cannot get under mp; `path` is the service's."""
    yield from rules.problems(path, arguments)
    for name in arguments:
        if name in OWN_FLAGS:
            text = "sparkctl sets this flag itself for executor mp; remove it"
            yield problem("own-flag", name, text, at_key=True)


def ports(inventory: Inventory) -> dict[str, int]:
    """The port on the head where the ranks meet, by its key; none where they are on one node."""
    if sum(map(bool, planned_ranks(inventory).values())) < 2:
        return {}
    value = str(inventory.vllm.arguments.get(MASTER_PORT))
    key = f"{inventory.key}.arguments.{MASTER_PORT}"
    return {key: int(value) if value.isdecimal() else DEFAULT_PORT}
