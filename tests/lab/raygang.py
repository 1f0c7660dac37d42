"""The processes of real Ray and vLLM on the lab's two nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.guarded import status

if TYPE_CHECKING:
    from tests.lab.cluster import Cluster

ONE, TWO = "spark-1", "spark-2"
RANK = "[r]ay::RayWorkerProc"
PARTS = f"pgrep -f '[r]aylet/raylet|[g]cs_server|[v]llm serve|{RANK}'; true"


def parts(cluster: Cluster) -> dict[str, list[str]]:
    """The pids of Ray and vLLM on each node, as the nodes have them."""
    return {node: cluster.on(node, PARTS).split() for node in (ONE, TWO)}


def assert_one_gang(cluster: Cluster) -> None:
    """Each part runs once, and generates."""
    assert status(cluster)["vllm"]["tokens"] >= 1
    for node, heads in ((ONE, 1), (TWO, 0)):
        assert _count(cluster, node, "[r]aylet/raylet") == 1
        assert _count(cluster, node, RANK) == 1
        assert _count(cluster, node, "[g]cs/gcs_server") == heads
        assert _count(cluster, node, "[b]in/vllm serve") == heads


def _count(cluster: Cluster, node: str, pattern: str) -> int:
    return int(cluster.on(node, f"pgrep -fc '{pattern}'; true"))
