"""vLLM over Ray: Ray on each node, then `vllm serve` on the head; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparkctl.engines.vllm import launcher
from sparkctl.engines.vllm.commandline import ray_head_argv, ray_worker_argv, vllm_argv
from sparkctl.engines.vllm.launcher import GRACE, SERVE, generates, stages
from sparkctl.engines.vllm.placement import planned_ranks
from sparkctl.node import modelpath
from sparkctl.node.units import (
    ALONG,
    RANK,
    REACHABLE,
    STARTED,
    Listens,
    Member,
    Need,
    Program,
    RayNodes,
    RayRanks,
    Stop,
    Unit,
)

if TYPE_CHECKING:
    from sparkctl.engines.engine import Replica
    from sparkctl.inventory.models import Inventory

RAY = "ray"  # the kind of Ray's units
TOKEN = "ray-token"  # the file with the token that Ray's programs of one cluster share
GCS = "gcs_server"
NICENESS = "RAY_worker_niceness"


def units(replica: Replica) -> list[Unit]:
    """Ray on the head and on each worker, then `vllm serve` on the head.

    Workers start when the GCS answers. vLLM, which imports for longer than Ray takes to start, is
    started at once after the head, and waits for it and for the workers' GPUs itself (`_patience`).
    """
    head = replica.inventory.head.name
    workers = [name for name in replica.parts if name != head]
    return [_ray_head(replica), *(_ray_worker(replica, w) for w in workers), _serve(replica)]


def _gcs(replica: Replica) -> Listens:
    return Listens(replica.head.choice.address, replica.inventory.ray.port)


def _address(replica: Replica) -> str:
    gcs = _gcs(replica)
    return f"{gcs.address}:{gcs.port}"


def _python(replica: Replica) -> str:
    path = replica.runtime.path(replica.inventory, "python")
    return modelpath.expanded(path, replica.head.home)


def _inside(replica: Replica) -> tuple[str, ...]:
    return replica.runtime.inside(replica.places[replica.head.node.name])


def _ray_head(replica: Replica) -> Unit:
    inventory, head = replica.inventory, replica.head
    gpus = {p.choice.address: float(inventory.gpus_of(p.node)) for p in replica.parts.values()}
    seconds = inventory.ray.start_timeout
    return Unit(
        id=replica.unit(RAY, head.node.name),
        node=head.node.name,
        kind=RAY,
        title="Ray head",
        group=replica.unit(RAY, head.node.name),
        program=_ray(
            replica,
            head.node.name,
            ray_head_argv(inventory, head.choice.address, ray_dir(replica.temp_dir)),
        ),
        members=(Member(head.node.name, "raylet"), Member(head.node.name, GCS)),
        reachable=_gcs(replica),
        ready=(RayNodes(_address(replica), _python(replica), gpus, seconds, _inside(replica)),),
        stop=Stop(GRACE, last=(GCS,)),
    )


def ray_dir(temp_dir: str) -> str:
    """Ray's own part: it makes its directory writable for everybody (Ray 2.60)."""
    return f"{temp_dir}/r"


def _ray_worker(replica: Replica, name: str) -> Unit:
    inventory, part, head = replica.inventory, replica.parts[name], replica.head
    argv = ray_worker_argv(inventory, part.choice.address, head.choice.address)
    return Unit(
        id=replica.unit(RAY, name),
        node=name,
        kind=RAY,
        title="Ray worker",
        group=replica.unit(RAY, name),
        program=_ray(replica, name, argv),
        needs=(Need(replica.unit(RAY, head.node.name), REACHABLE),),
        members=(Member(name, "raylet"),),
        stop=Stop(GRACE),
    )


def _ray(replica: Replica, node: str, argv: tuple[str, ...]) -> Program:
    given = replica.parts[node].environment
    # Else Ray starts its workers, which are vLLM's ranks, at niceness 15 (2.60, run); mp's have 0.
    own = {} if NICENESS in given else {NICENESS: "0"}
    return Program(argv, environment=own, ends=replica.inventory.ray.start_timeout)


def _serve(replica: Replica) -> Unit:
    inventory, head = replica.inventory, replica.head
    name, home = head.node.name, head.home
    most = {p.choice.address: inventory.gpus_of(p.node) for p in replica.parts.values()}
    ranks = {n: count for n, count in planned_ranks(inventory).items() if count}
    patience = _patience(inventory.ray.start_timeout)
    environment = {n: v for n, v in patience.items() if n not in head.environment}
    program = Program(
        vllm_argv(inventory, replica.recipe, home),
        environment={"RAY_ADDRESS": _address(replica), **environment},
    )
    return Unit(
        id=replica.unit(SERVE, name),
        node=name,
        kind=SERVE,
        title="vLLM",
        group=replica.unit(SERVE, name),
        program=program,
        needs=tuple(
            Need(replica.unit(RAY, n), STARTED if n == name else ALONG) for n in replica.parts
        ),
        members=(
            Member(name, "serve"),
            *(Member(n, RANK, count) for n, count in ranks.items() if _is_certain(replica)),
        ),
        ready=(
            stages(inventory),
            RayRanks(_address(replica), _python(replica), most, _inside(replica)),
            generates(inventory, home),
        ),
        stop=Stop(GRACE),
    )


def _patience(seconds: float) -> dict[str, str]:
    """Lets vLLM wait for as long as a start of Ray may take, so that a slow one fails no start.

    ray.init asks 20 times for the GCS, a second or more each (41 s without one), then 60 s for this
    node's raylet (Ray 2.60, node.py _init_gcs_client, services.py get_node_to_connect_for_driver).
    The placement group waits 1800 s for the workers' GPUs (vLLM 0.32, ray_utils.py).
    """
    return {
        "RAY_NUM_REDIS_GET_RETRIES": str(max(20, math.ceil(seconds))),
        "RAY_gcs_server_request_timeout_seconds": str(max(60, math.ceil(seconds))),
    }


def _is_certain(replica: Replica) -> bool:
    """Whether each node has ranks: with fewer ranks than GPUs Ray may take another worker."""
    planned = planned_ranks(replica.inventory)
    return all(planned[p.node.name] for p in replica.parts.values())


def own_environment(inventory: Inventory, home: str, temp_dir: str) -> dict[str, str]:
    """What the mechanism itself needs, over every layer."""
    values = launcher.own_environment(inventory, home, temp_dir)
    # Unset, a token file in somebody's home turns it on, on that node alone (Ray 2.59, later).
    values["RAY_AUTH_MODE"] = "disabled"
    if inventory.ray.auth == "token":
        # Without a token whoever reaches the ports runs code (Ray 2.60, read and run).
        values["RAY_AUTH_MODE"] = "token"
        values["RAY_AUTH_TOKEN_PATH"] = f"{home}/.sparkctl/{inventory.cluster}/{TOKEN}"
    return values
