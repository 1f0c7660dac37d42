"""Ray's own view of the cluster: its nodes and where its placement groups lie.

`table` asks the GCS itself. `imported` asks through the runtime's own ray: for a GCS that answers
in another way, as with TLS. `ray status` shows neither the nodes' addresses nor the nodes of
bundles (Ray 2.60, read and run).
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sparkctl.node import files, jsontext
from sparkctl.node.gcs import Gcs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.node.wire import Answer, Json, RayTable

AGAIN = 0.2  # seconds between looks
ODD = (ValueError, LookupError)  # an answer that is not the GCS's


def table(request: RayTable) -> Answer:
    """Ray's nodes and placement groups, once no node is missing or `timeout` seconds are over.

    `wanted` maps an address to the GPUs it should have; empty: look once. Returns `nodes` (id,
    address, hostname, alive, gpus), `groups` (state, bundle to node id, bundle to GPUs), `missing`
    (addresses of `wanted`) and `ray` (its version), or `error`, with `foreign`: whether something
    answers that is not understood.
    """
    gcs = Gcs(request["address"], files.over_login(request["cluster"]))
    try:
        nodes, missing = _awaited(request, gcs.nodes)
        return {"nodes": nodes, "groups": gcs.groups(), "missing": missing, "ray": gcs.version()}
    except (OSError, *ODD) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        foreign = isinstance(error, ODD)
        return {"error": f"{request['address']}: {why}", "foreign": foreign}


def imported(request: RayTable) -> Answer:
    """The same through ray, which must be importable; only this function does that."""
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
    nodes, missing = _awaited(request, lambda: [_node(entry) for entry in ray.nodes()])
    groups = [_group(group) for group in placement_group_table().values()]
    ray.shutdown()
    return {"nodes": nodes, "groups": groups, "missing": missing, "ray": str(ray.__version__)}


def _awaited(request: RayTable, look: Callable[[], list[Answer]]) -> tuple[list[Answer], list[str]]:
    """The nodes, and the missing addresses, when none is missing or the time is over."""
    deadline = time.monotonic() + request.get("timeout", 0)
    while True:
        nodes = look()
        missing = _missing(request.get("wanted", {}), nodes)
        if not missing or time.monotonic() > deadline:
            return nodes, missing
        time.sleep(AGAIN)


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
