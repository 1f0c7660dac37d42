"""What a support bundle has of this node besides its facts: the units' logs, and the journal."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

from sparkctl.node import entries, files, guard, logs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparkctl.node.wire import Answer, Support

BEGIN, END = 256 * 1024, 768 * 1024  # bytes of a log that are sent: its first, and its last


def read(request: Support) -> Answer:
    """`logs`: of the last log of each unit in `units` the path, `size` in bytes, and `begin` and
    `end` (zlib, base64): all of it in `begin` where it has no more than both. `entries` of the
    login's journal; `root`: whether root has one. `errors`: why a unit's log, or the journal by its
    file's name, could not be read.
    """
    cluster, errors = request["cluster"], {}
    found: dict[str, Answer] = {}
    for unit in request["units"]:
        path = logs.current(cluster, unit)
        if str(path) in found:  # units of an older release share their kind's
            continue
        try:
            if parts := [part for part in logs.parts(path) if part.is_file()]:
                found[str(path)] = {"unit": unit, "path": str(path), **_excerpt(parts)}
        except OSError as error:
            errors[unit] = str(error)
    changes = []
    try:
        changes = [entry.shown() for entry in entries.of(cluster, root=False).read()]
    except (OSError, ValueError) as error:
        errors[files.JOURNAL[0]] = str(error)
    root = guard.is_there(entries.of(cluster, root=True).folder)
    return {"logs": [*found.values()], "errors": errors, "entries": changes, "root": root}


def _excerpt(parts: Sequence[Path]) -> Answer:
    size = sum(part.stat().st_size for part in parts)
    whole = size <= BEGIN + END
    return {
        "size": size,
        "begin": _packed(_slice(parts, 0, size if whole else BEGIN)),
        "end": _packed(b"" if whole else _slice(parts, size - END, END)),
    }


def _slice(parts: Sequence[Path], start: int, length: int) -> bytes:
    """So many bytes of the files one after the other."""
    found = b""
    for part in parts:
        size = part.stat().st_size
        if start < size and len(found) < length:
            with part.open("rb") as stream:
                stream.seek(start)
                found += stream.read(length - len(found))
        start = max(0, start - size)
    return found


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()
