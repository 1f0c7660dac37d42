"""Our files on a node: ~/.sparkctl/<cluster>/, 0700, each file 0600 and replaced atomically."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from sparkctl.node import processes

SHARED_MEMORY = "shared-memory.json"


def state_dir(cluster: str) -> Path:
    """This cluster's directory on this node, made if it is not there."""
    path = Path.home() / ".sparkctl" / cluster
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Write `files` (name to text) below the state directory; gives the names that changed.

    `temp_dir`, when given, is made with its tmp/ for this user alone.
    """
    base = state_dir(request["cluster"])
    if "temp_dir" in request:
        _private(Path(request["temp_dir"]))
        _private(Path(request["temp_dir"]) / "tmp")
    changed = []
    for name, text in request["files"].items():
        path = base / name
        if path.is_file() and path.read_text() == text:
            continue
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as stream:
            stream.write(text)
        temporary.replace(path)
        changed.append(name)
    return {"changed": changed}


def _private(path: Path) -> None:
    """Make a directory that only this user may enter; refuse one that somebody else made."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        sys.exit(f"{path} should be a directory of ours, it belongs to another user or is a link")


def read(request: dict[str, Any]) -> dict[str, Any]:
    """The texts of `names` below the state directory, null for a file that is not there."""
    base = Path.home() / ".sparkctl" / request["cluster"]
    return {n: (base / n).read_text() if (base / n).is_file() else None for n in request["names"]}


def note_shared_memory(request: dict[str, Any]) -> dict[str, Any]:
    """Write down which /dev/shm files our processes map now, for a `down` after a KILL.

    What was noted before and nobody maps any more, an earlier vLLM was KILLed over, is removed.
    """
    processes.release(_noted(request["cluster"]))
    paths = processes.shared_memory(request["cluster"])
    return write({**request, "files": {SHARED_MEMORY: json.dumps(sorted(paths))}})


def _noted(cluster: str) -> set[str]:
    noted = read({"cluster": cluster, "names": [SHARED_MEMORY]})[SHARED_MEMORY]
    return set(json.loads(noted or "[]"))


def environment(cluster: str) -> dict[str, str]:
    """The cluster's environment as rendered for this node; empty when none was written."""
    path = Path.home() / ".sparkctl" / cluster / "environment.json"
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}


def remove(request: dict[str, Any]) -> dict[str, Any]:
    """Remove the state directory and Ray's `temp_dir`; gives the paths that were there.

    Ray's directory is removed only when it is a directory of this user and no link. The shared
    memory that `up` noted goes too: processes that were KILLed by hand have left theirs.
    """
    processes.release(_noted(request["cluster"]))
    base = Path.home() / ".sparkctl" / request["cluster"]
    removed = []
    for path in (Path(request["temp_dir"]), base):
        if path.is_symlink() or not path.is_dir() or path.stat().st_uid != os.getuid():
            continue
        shutil.rmtree(path)
        removed.append(str(path))
    parent = base.parent
    if parent.is_dir() and not any(parent.iterdir()):
        parent.rmdir()
    return {"removed": removed}


def lock(request: dict[str, Any]) -> dict[str, Any]:
    """Take the cluster's lock: mkdir is atomic. Gives the `owner` who has it, null when we do."""
    path = state_dir(request["cluster"]) / "lock"
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


def unlock(request: dict[str, Any]) -> dict[str, Any]:
    """Give the lock back if `token` says that it is ours (or `force`)."""
    path = Path.home() / ".sparkctl" / request["cluster"] / "lock"
    try:
        mine = json.loads((path / "owner.json").read_text()).get("token") == request.get("token")
    except (OSError, ValueError):
        mine = False
    if path.is_dir() and (mine or request.get("force")):
        shutil.rmtree(path)
    return {}
