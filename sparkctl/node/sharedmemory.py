"""The /dev/shm files that our processes map: a KILLed one cannot remove its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sparkctl.node import files, processes

NOTED = "shared-memory.json"


def mapped(found: list[processes.Process]) -> set[str]:
    """The /dev/shm files that these processes map."""
    paths: set[str] = set()
    for process in found:
        try:
            maps = (processes.PROC / str(process.pid) / "maps").read_text(errors="replace")
        except OSError:
            continue
        lines = (line.split(maxsplit=5) for line in maps.splitlines() if "/dev/shm/" in line)
        paths.update(f[5] for f in lines if len(f) == 6 and not f[5].endswith("(deleted)"))
    return paths


def release(paths: set[str]) -> set[str]:
    """Remove these /dev/shm files of this user; gives those that a process still maps."""
    kept = paths & mapped(processes.table())
    for name in paths - kept:
        path = Path(name)
        if path.parent == Path("/dev/shm") and path.is_file() and path.stat().st_uid == os.getuid():
            path.unlink()
    return kept


def release_or_note(cluster: str, paths: set[str]) -> None:
    """Remove these files, and write down for `remove` what somebody maps yet.

    A rank is a process of Ray: it maps what it shares with vLLM a moment longer than vLLM lives.
    """
    if kept := release(paths):
        names = sorted(kept | noted(cluster))
        files.write({"cluster": cluster, "files": {NOTED: json.dumps(names)}})


def note(request: dict[str, Any]) -> dict[str, Any]:
    """Write down which /dev/shm files our processes map now, for a `down` after a KILL.

    What was noted before and nobody maps any more, an earlier vLLM was KILLed over, is removed.
    """
    release(noted(request["cluster"]))
    paths = mapped(processes.ours(request["cluster"]))
    return files.write({**request, "files": {NOTED: json.dumps(sorted(paths))}})


def noted(cluster: str) -> set[str]:
    """What `note` wrote down."""
    text = files.read({"cluster": cluster, "names": [NOTED]})[NOTED]
    return set(json.loads(text or "[]"))
