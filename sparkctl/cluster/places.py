"""Where a cluster's files are on a node, beside ~/.sparkctl/<cluster>/ (node/files.py)."""

from __future__ import annotations

ENVIRONMENT = "environment.json"  # rendered for the node; holds secrets
TOKEN = "ray-token"
APPLIED = "applied.json"  # what `up` last started here, and how (cluster/record.py)


def temp_dir(cluster: str) -> str:
    """Ray's and vLLM's temporary files on a node: short, because socket paths end at 107 bytes."""
    return f"/tmp/sparkctl-{cluster}"
