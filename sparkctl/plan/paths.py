"""Where a cluster's files are on a node, besides ~/.sparkctl/<cluster>/ (node/files.py)."""

from __future__ import annotations

import hashlib

from sparkctl.node import logs

ENVIRONMENT = "environment.json"  # rendered for the node; holds secrets
APPLIED = logs.RECORD  # what `up` last started here, and how (plan/record.py)


# A socket of Ray's is 64 bytes longer than its directory: /session_ with the time and a pid, and
# /sockets/plasma_store. unix(7) has room for 107.
LONGEST = 25


def temp_dir(cluster: str) -> str:
    """The temporary files of Ray and vLLM on a node, which this user alone may enter."""
    if len(cluster) > LONGEST:
        mark = hashlib.sha256(cluster.encode()).hexdigest()[:8]
        cluster = f"{cluster[: LONGEST - 9]}-{mark}"
    return f"/tmp/sparkctl-{cluster}"
