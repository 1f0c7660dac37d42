"""Ray's own view of the cluster, read with the node's own ray; the one helper that imports it.

Runs under the runtime's python on the head, because `ray status` names neither the nodes'
addresses nor the bundles' places (Ray 2.60, read and run).
"""

from __future__ import annotations

import os
import time
from typing import Any

from sparkctl.node import files


def table(request: dict[str, Any]) -> dict[str, Any]:
    """Ray's nodes and placement groups, once `wanted` holds or `timeout` seconds are over.

    `wanted` maps an address to the GPUs it should bring; empty means: look once. Gives `nodes`
    (id, address, hostname, alive, gpus), `groups` (state, bundle to node id, bundle to GPUs),
    `missing` (wanted and not there) and `ray` (its version), or `error`.
    """
    environment = files.over_login(request["cluster"])
    os.environ.clear()
    os.environ.update(environment)
    import ray
    from ray.util import placement_group_table

    try:
        ray.init(
            address=request["address"],
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        return {"error": str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)}
    deadline = time.monotonic() + float(request.get("timeout", 0))
    while True:
        nodes = [_node(n) for n in ray.nodes()]
        missing = _missing(request.get("wanted", {}), nodes)
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(0.2)  # the interval between looks at the table, bounded by the deadline
    groups = [
        {
            "state": g["state"],
            "bundles": g["bundles_to_node_id"],
            "gpus": {index: b.get("GPU", 0) for index, b in g["bundles"].items()},
        }
        for g in placement_group_table().values()
    ]
    answer = {"nodes": nodes, "groups": groups, "missing": missing, "ray": ray.__version__}
    ray.shutdown()
    return answer


def _node(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": entry["NodeID"],
        "address": entry["NodeManagerAddress"],
        "hostname": entry["NodeManagerHostname"],
        "alive": entry["Alive"],
        "gpus": entry.get("Resources", {}).get("GPU", 0),
    }


def _missing(wanted: dict[str, float], nodes: list[dict[str, Any]]) -> list[str]:
    alive = {n["address"]: n["gpus"] for n in nodes if n["alive"]}
    return [a for a, gpus in wanted.items() if alive.get(a, -1) < gpus]
