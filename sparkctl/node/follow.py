"""Following a log and the life of processes, on the node, until the controller hangs up."""

from __future__ import annotations

import codecs
import json
import os
import select
import sys
from typing import TYPE_CHECKING, Any

from sparkctl.node import logs, processes

if TYPE_CHECKING:
    from pathlib import Path

INTERVAL = 0.2  # seconds between looks at the file


def follow(request: dict[str, Any]) -> dict[str, Any]:
    """Print one JSON line an event until stdin ends: {"text": …} and {"exited": pid}.

    The log at `path`, or else the last of `unit`, is read from `offset`, or from its last `lines`
    lines; a file that is not there yet, or was replaced by a new one, is picked up. With `pid` and
    `started` the process is watched too, and its end is told after the last of the log.
    """
    path = logs.named(request)
    pid, started = request.get("pid"), request.get("started", 0)
    offset = int(request["offset"]) if "offset" in request else _tail(path, request["lines"])
    inode: int | None = None
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while True:
        gone = pid is not None and not processes.alive(pid, started)
        path = logs.named(request)
        if path.is_file():
            stat = path.stat()
            if inode not in (None, stat.st_ino) or stat.st_size < offset:
                offset = 0
            inode = stat.st_ino
            with path.open("rb") as stream:
                stream.seek(offset)
                while chunk := stream.read(65536):
                    offset += len(chunk)
                    print(json.dumps({"text": decode(chunk)}), flush=True)
        if gone:
            return {"exited": pid}
        if not request.get("follow", True):
            return {}
        readable, _, _ = select.select([sys.stdin], [], [], INTERVAL)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            return {}


def _tail(path: Path, lines: int) -> int:
    """The offset of the last `lines` lines, read backwards so that a huge log costs little."""
    if not path.is_file():
        return 0
    position = size = path.stat().st_size
    block = b""
    with path.open("rb") as stream:
        while position and block.count(b"\n") <= lines:
            position = max(0, position - 65536)
            stream.seek(position)
            block = stream.read(size - position)
    kept = block.splitlines(keepends=True)[-lines:] if lines else []
    return size - sum(len(line) for line in kept)
