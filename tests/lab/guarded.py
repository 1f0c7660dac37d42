"""The lab's cluster with real Ray and vLLM, whose API has a key and TLS."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from sparkctl.lab.inventory import MODEL_NAME
from tests.lab.cluster import Cluster
from tests.lab.streams import streams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkctl.lab.lab import Lab

KEY = "planted-key"
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=elsewhere.example"
    " -keyout ~/tls.key -out ~/tls.crt 2>/dev/null; echo ~"
)


def guarded_cluster(lab: Lab, folder: Path) -> Cluster:
    """The lab with an inventory whose API has a key and TLS."""
    plain = Cluster(lab, lab.inventory)
    home = plain.on("spark-1", CERTIFICATE).strip()
    vllm = yaml.safe_load(lab.inventory.read_text())["vllm"]
    arguments = {"ssl-keyfile": f"{home}/tls.key", "ssl-certfile": f"{home}/tls.crt"}
    # Compiling takes a quarter of a start, and the model of test_zz_upgrade.py compiles. With fewer
    # tokens in a step `up` is sooner sure that an engine makes none.
    own = {"api-key": KEY, "enforce-eager": True, "max-num-batched-tokens": 2048, **arguments}
    vllm["arguments"] = {**vllm.get("arguments", {}), **own}
    return plain.changed(folder / "inventory.yaml", vllm=vllm)


def status(cluster: Cluster, *, code: int = 0) -> dict[str, Any]:
    """The document of `status --deep`, which exits with this code."""
    found: dict[str, Any] = json.loads(cluster.run("status", "--deep", "--json", code=code).stdout)
    return found


def pids(found: dict[str, Any]) -> list[int]:
    """The processes of all nodes in a status."""
    return [process["pid"] for node in found["nodes"] for process in node["processes"]]


def raylets(found: dict[str, Any]) -> list[int]:
    """The pids of the nodes' raylets."""
    processes = [p for node in found["nodes"] for p in node["processes"]]
    return [p["pid"] for p in processes if "raylet/raylet" in p["command"]]


@contextmanager
def load(cluster: Cluster, count: int) -> Iterator[None]:
    """`count` streams of the model's longest answers."""
    host = cluster.lab.nodes[0].address
    with streams(host, KEY, MODEL_NAME, count, tokens=1900):
        yield
