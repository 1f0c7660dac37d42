"""The cluster's lock on its head: one command at a time changes a cluster."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from sparkctl.node import files


def take(request: dict[str, Any]) -> dict[str, Any]:
    """Take the cluster's lock: mkdir is atomic. Gives the `owner` who has it, null when we do."""
    path = files.state_dir(request["cluster"]) / "lock"
    owner = path / "owner.json"
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        try:
            return {"owner": json.loads(owner.read_text())}
        except (OSError, ValueError):
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
            return {"owner": {"who": "unknown", "when": since, "why": "unknown"}}
    owner.write_text(json.dumps(request["owner"]))
    return {"owner": None}


def release(request: dict[str, Any]) -> dict[str, Any]:
    """Give the lock back if `token` says that it is ours (or `force`).

    A directory that was made for the lock alone goes with it.
    """
    path = Path.home() / ".sparkctl" / request["cluster"] / "lock"
    try:
        mine = json.loads((path / "owner.json").read_text()).get("token") == request.get("token")
    except (OSError, ValueError):
        mine = False
    if path.is_dir() and (mine or request.get("force")):
        shutil.rmtree(path)
        files.remove_empty(path.parent)
    return {}
