"""Following a log and the life of a process until the controller closes stdin."""

from __future__ import annotations

import codecs
import json
import os
import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import logs, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.wire import Answer, Follow

INTERVAL = 0.2  # seconds between looks at the file


def follow(request: Follow) -> Answer:
    """Print one JSON line for each event until stdin ends: {"text": …} and {"exited": pid}.

    The log at `path`, or else the last of `unit`, is read from `offset`, or from its last `lines`
    lines, or, with `all`, from its beginning and that of its parts that were set aside; a file that
    appears later or replaces the log is read too. With `pid` and `started` the
    process is watched, and its end is printed after the end of the log.
    """
    pid, started = request.get("pid"), request.get("started", 0)
    path = logs.named(request)
    if request.get("all"):
        for part in filter(Path.is_file, logs.parts(path)[:-1]):
            _print(_Log(0).read(part))
    log = _Log(_begin(request, path))
    while True:
        gone = pid is not None and not processes.alive(pid, started)
        _print(log.read(logs.named(request)))
        if gone:
            return {"exited": pid}
        if not request.get("follow", True) or _hung_up():
            return {}


def _begin(request: Follow, path: Path) -> int:
    """The offset at which the log itself is read first."""
    if "offset" in request:
        return request["offset"]
    return 0 if request.get("all") else _tail(path, request["lines"])


def _print(texts: Iterator[str]) -> None:
    for text in texts:
        print(json.dumps({"text": text}), flush=True)


class _Log:
    """A log that is read on from an offset, from the beginning once it was replaced."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._inode: int | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def read(self, path: Path) -> Iterator[str]:
        """What was written since; nothing if there is no such file."""
        if not path.is_file():
            return
        stat = path.stat()
        if self._inode not in (None, stat.st_ino) or stat.st_size < self._offset:
            self._offset = 0
        self._inode = stat.st_ino
        with path.open("rb") as stream:
            stream.seek(self._offset)
            while chunk := stream.read(65536):
                self._offset += len(chunk)
                yield self._decode(chunk)


def _hung_up() -> bool:
    """Whether the controller has closed stdin; waits for INTERVAL if not."""
    readable, _, _ = select.select([sys.stdin], [], [], INTERVAL)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


def _tail(path: Path, lines: int) -> int:
    """The offset of the last `lines` lines, read backwards so that a huge log costs little."""
    if not path.is_file():
        return 0
    position = path.stat().st_size
    if not lines:
        return position
    with path.open("rb") as stream:
        ends = False  # whether the end of the last line, which begins none, was passed
        while position:
            start = max(0, position - 65536)
            stream.seek(start)
            block = stream.read(position - start)
            end = len(block) - (not ends and block.endswith(b"\n"))
            ends = True
            while (end := block.rfind(b"\n", 0, end)) >= 0:
                lines -= 1
                if not lines:
                    return start + end + 1
            position = start
    return 0
