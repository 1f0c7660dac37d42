"""Following a log and the life of a process until the controller closes stdin."""

from __future__ import annotations

import codecs
import json
import os
import select
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import logs, logtimes, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.logwire import Follow, Position
    from sparkctl.node.wire import Answer

INTERVAL = 0.2  # seconds between looks at the file
ALIVE = 30.0  # seconds of silence until an empty event
CHUNK = 65536  # bytes of an event's text
BEGIN = 256  # bytes by which a log is recognized: one that is emptied keeps its inode


def follow(request: Follow) -> Answer:
    """Print one JSON line for each event until stdin ends: {"text": …, "at": …}, {"exited": pid}.

    The log at `path`, or else the last of `unit`, is read from `offset`, or from its last `lines`
    lines, or, with `all`, from its beginning and that of its parts that were set aside, or from
    `since` seconds before now, and then at most the last `lines` lines; a file that appears later
    or replaces the log is read too. Of all but `offset` the first event is where it begins, with
    `untimed` where `since` could not be applied, if there is a log, or to `follow`. A request with
    the `at` of an event goes on after its text, also in the parts that the log had become
    meanwhile, or in the unit's next log. With `pid` and `started` the process is watched, and its
    end is printed after the end of the log. An empty event now and then is for sshd, which learns
    only from what it sends that a controller has vanished, and then closes stdin.
    """
    pid, started = request.get("pid"), request.get("started", 0)
    log = _Log()
    path = logs.named(request)
    if "at" in request:
        log.go_on(request["at"])
    elif "offset" in request:
        log.begin(path, request["offset"])
    else:
        timed = _begin(log, path, request)
        if request.get("follow", True) or path.is_file():
            print(json.dumps({"at": log.at(), "untimed": not timed}), flush=True)
    spoke = time.monotonic()
    while True:
        gone = pid is not None and not processes.alive(pid, started)
        for text, at in log.read(logs.named(request)):
            print(json.dumps({"text": text, "at": at}), flush=True)
            spoke = time.monotonic()
        if time.monotonic() - spoke > ALIVE:
            print("{}", flush=True)
            spoke = time.monotonic()
        if gone:
            return {"exited": pid}
        if not request.get("follow", True) or _hung_up():
            return {}


def _begin(log: _Log, path: Path, request: Follow) -> bool:
    """Begin where the request says; whether `since`, if it has one, could be applied."""
    parts = logs.parts(path)
    last, lines = len(parts) - 1, request.get("lines")
    tail = None if lines is None else (last, _tail(path, lines))
    if "since" not in request:
        log.begin_in(parts, *(tail or (0, 0)))
        return True
    marked = logtimes.begin(parts, time.time() - request["since"])
    part, offset = marked or (0, 0)
    log.begin_in(parts, *max((part, _line(parts[part], offset)), tail or (0, 0)))
    return marked is not None


class _Log:
    """A position in a log, which stands for the same text when the log is emptied or replaced."""

    def __init__(self) -> None:
        self._path = Path()
        self._offset = 0
        self._begins = (0, 0)  # so many bytes at its begin, and their CRC
        self._parts: list[Path] = []  # to read before the log itself
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def begin(self, path: Path, offset: int) -> None:
        """Read from this offset."""
        self._path, self._offset, self._begins = path, offset, _begins(path)

    def begin_in(self, parts: list[Path], number: int, offset: int) -> None:
        """Read from this offset of that part of a log."""
        self._path, self._offset, self._begins = parts[-1], offset, _begins(parts[number])
        self._parts = parts[number:-1]

    def go_on(self, at: Position) -> None:
        """Read from a position that `read` gave."""
        length, _, checksum = at["begins"].partition(":")
        self._path, self._offset = Path(at["path"]), at["offset"]
        self._begins = (int(length), int(checksum, 16))

    def read(self, path: Path) -> Iterator[tuple[str, Position]]:
        """What was written since, and the position after each piece.

        `path` is where the log is now: another than before is read from its begin.
        """
        if path != self._path:
            yield from self._rest()
            self.begin(path, 0)
        yield from self._rest()

    def _rest(self) -> Iterator[tuple[str, Position]]:
        if not self._parts and not self._is_in(self._path):
            before = logs.parts(self._path)[:-1]
            same = [n for n, part in enumerate(before) if self._is_in(part)]
            self._parts = before[same[-1] :] if same else []
            if not same and self._path.is_file():
                self._offset, self._begins = 0, (0, 0)
        while self._parts:
            yield from self._new(self._parts.pop(0))
            self._offset, self._begins = 0, (0, 0)
        yield from self._new(self._path)

    def _is_in(self, path: Path) -> bool:
        """Whether this file has the text up to the position."""
        try:
            with path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                begins = stream.read(self._begins[0])
        except OSError:
            return False
        return size >= self._offset and (len(begins), zlib.crc32(begins)) == self._begins

    def _new(self, path: Path) -> Iterator[tuple[str, Position]]:
        """What this file has after the offset."""
        if not path.is_file():
            return
        with path.open("rb") as stream:
            stream.seek(self._offset)
            while chunk := stream.read(CHUNK):
                self._offset += len(chunk)
                if self._begins[0] < min(BEGIN, self._offset):
                    begins = os.pread(stream.fileno(), min(BEGIN, self._offset), 0)
                    self._begins = (len(begins), zlib.crc32(begins))
                if text := self._decoder.decode(chunk):
                    yield text, self.at()

    def at(self) -> Position:
        """The position."""
        length, checksum = self._begins
        cut = len(self._decoder.getstate()[0])  # bytes of a character whose end is still to come
        return {
            "path": str(self._path),
            "offset": max(0, self._offset - cut),
            "begins": f"{length}:{checksum:x}",
        }


def _begins(path: Path) -> tuple[int, int]:
    """By which a log is recognized that is read from anywhere."""
    try:
        with path.open("rb") as stream:
            begins = stream.read(BEGIN)
    except OSError:
        return 0, 0
    return len(begins), zlib.crc32(begins)


def _hung_up() -> bool:
    """Whether the controller has closed stdin; waits for INTERVAL if not."""
    readable, _, _ = select.select([sys.stdin], [], [], INTERVAL)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


def _line(path: Path, offset: int) -> int:
    """The offset where the line begins that has this one; as it is where the file is shorter."""
    start = max(0, offset - CHUNK)
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            block = stream.read(offset - start)
    except OSError:
        return offset
    return start + block.rfind(b"\n") + 1 if len(block) == offset - start else offset


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
