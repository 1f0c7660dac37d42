"""The /dev/shm files that the cluster's processes map: one that was KILLed leaves its own."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, jsontext, processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.node.wire import Answer, Cluster

SCHEMA = 1
NOTED = "shared-memory.json"
SHM = Path("/dev/shm")


def mapped(found: Iterable[processes.Process]) -> set[str]:
    """The /dev/shm files that these processes map; a container's own /dev/shm ends with it."""
    paths: set[str] = set()
    semaphores, own = _semaphores(), _device(SHM.stat()) if SHM.exists() else ""
    for process in found:
        try:
            maps = (processes.PROC / str(process.pid) / "maps").read_text(errors="replace")
        except OSError:
            continue
        lines = (line.split(maxsplit=5) for line in maps.splitlines() if "/dev/shm/" in line)
        for _, _, _, device, inode, path in (fields for fields in lines if len(fields) == 6):
            if device != own:
                continue
            if not path.endswith("(deleted)"):
                paths.add(path)
            elif (device, inode) in semaphores:
                paths.add(semaphores[device, inode])
    return paths


def _semaphores() -> dict[tuple[str, str], str]:
    """The named semaphores by device and inode, as /proc/PID/maps writes them.

    glibc's sem_open makes one under another name, which it removes: maps has only that one.
    """
    found = {}
    for path in SHM.glob("sem.*"):
        with suppress(OSError):
            status = path.lstat()
            found[_device(status), str(status.st_ino)] = str(path)
    return found


def _device(status: os.stat_result) -> str:
    """The device of a file as /proc/PID/maps writes it."""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"


def release(paths: set[str]) -> set[str]:
    """Remove these /dev/shm files of this user; returns those that a process still maps."""
    kept = paths & mapped(processes.table())
    for name in paths - kept:
        path = Path(name)
        if path.parent == SHM and path.is_file() and path.stat().st_uid == os.getuid():
            path.unlink()
    return kept


def release_or_note(cluster: str, paths: set[str]) -> None:
    """Remove these files, and note for `remove` those that a process still maps.

    A rank is a process of Ray: it maps what it shares with vLLM a moment longer than vLLM lives.
    """
    if kept := release(paths):
        _write(cluster, kept | noted(cluster))


def note(request: Cluster) -> Answer:
    """Note which /dev/shm files the cluster's processes map now, for a `down` after a KILL.

    Removes files noted before that no process maps any more: a KILLed vLLM left them.
    """
    release(noted(request["cluster"]))
    return _write(request["cluster"], mapped(processes.ours(request["cluster"])))


def noted(cluster: str) -> set[str]:
    """The files that were noted. Ends the call with a message when the note cannot be read."""
    path = files.home(cluster) / NOTED
    try:
        found = files.document(path, SCHEMA)
        # An older release wrote the list alone.
        paths = found["paths"] if isinstance(found, dict) else found
        return {jsontext.text(name) for name in jsontext.rows(paths)}
    except FileNotFoundError:
        return set()
    except (KeyError, ValueError) as error:
        reason = error if isinstance(error, files.Newer) else f"{path} is damaged"
        sys.exit(f"{reason}; remove the file to continue without it")


def _write(cluster: str, paths: set[str]) -> Answer:
    text = json.dumps({"schema": SCHEMA, "paths": sorted(paths)})
    return files.write({"cluster": cluster, "files": {NOTED: text}})
