"""Ray's own view of the cluster, read with the node's own ray; the only helper that imports it.

Runs with the runtime's python on the head, because `ray status` shows neither the nodes' addresses
nor the nodes of bundles (Ray 2.60, read and run).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sparkctl.node import files, jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkctl.node.wire import Answer, Json, RayTable


def table(request: RayTable) -> Answer:
    """Ray's nodes and placement groups, once no node is missing or `timeout` seconds are over.

    `wanted` maps an address to the GPUs it should have; empty: look once. Returns `nodes` (id,
    address, hostname, alive, gpus), `groups` (state, bundle to node id, bundle to GPUs), `missing`
    (addresses of `wanted`) and `ray` (its version), or `error`.
    """
    environment = files.over_login(request["cluster"])
    os.environ.clear()
    os.environ.update(environment)
    import ray
    from ray.util import placement_group_table

    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        ray.init(address=request["address"], **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        return {"error": (str(error).strip() or repr(error)).splitlines()[-1]}
    deadline = time.monotonic() + request.get("timeout", 0)
    while True:
        nodes = [_node(entry) for entry in ray.nodes()]
        missing = _missing(request.get("wanted", {}), nodes)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    groups = [_group(group) for group in placement_group_table().values()]
    ray.shutdown()
    return {"nodes": nodes, "groups": groups, "missing": missing, "ray": str(ray.__version__)}


def _node(entry: Answer) -> Answer:
    return {
        "id": entry["NodeID"],
        "address": entry["NodeManagerAddress"],
        "hostname": entry["NodeManagerHostname"],
        "alive": entry["Alive"],
        "gpus": _gpus(entry.get("Resources", {})),
    }


def _group(group: Answer) -> Answer:
    bundles = jsontext.table(group["bundles"]).items()
    gpus = {index: _gpus(resources) for index, resources in bundles}
    return {"state": group["state"], "bundles": group["bundles_to_node_id"], "gpus": gpus}


def _missing(wanted: Mapping[str, float], nodes: list[Answer]) -> list[str]:
    """The addresses where no node is alive with that many GPUs."""
    alive = {node["address"]: jsontext.number(node["gpus"]) for node in nodes if node["alive"]}
    return [address for address, gpus in wanted.items() if alive.get(address, -1) < gpus]


def _gpus(resources: Json) -> float:
    return jsontext.number(jsontext.table(resources).get("GPU", 0))
