"""Where a cluster's files are on a node, beside ~/.sparkctl/<cluster>/ (node/files.py)."""

from __future__ import annotations

ENVIRONMENT = "environment.json"  # rendered for the node; holds secrets
TOKEN = "ray-token"
APPLIED = "applied.json"  # the journal: what `up` last started here, and how
LOGS = {"ray": "ray.log", "vllm": "vllm.log"}


def temp_dir(cluster: str) -> str:
    """Ray's and vLLM's temporary files on a node: short, because socket paths end at 107 bytes."""
    return f"/tmp/sparkctl-{cluster}"


def log_path(cluster: str, what: str) -> str:
    """The log of Ray's start or of vLLM on a node."""
    return f"~/.sparkctl/{cluster}/{LOGS[what]}"
