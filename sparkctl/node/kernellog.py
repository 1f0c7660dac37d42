"""What the GPU's driver wrote to the kernel's log since boot, as far as this user may read it."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.node.subprocesses import start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkctl.node.wire import Answer

KMSG = Path("/dev/kmsg")
MOST = 20  # kinds of error that are answered
LENGTH = 300  # characters of a line
RECORD = 8192  # bytes, the kernel's most (Documentation/ABI/testing/dev-kmsg)
BYTES = 16 * 2**20  # of the log; the kernel's buffer has 128 KiB to some MiB
SECONDS = 4.0  # for journalctl
# `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`; further lines of a record begin with a space.
HEADER = re.compile(r"\d+,(\d+),(\d+),[^;\n]*;")
ANY = re.compile(r"\bNVRM\b")
XID = re.compile(r"\bXid \([^)]*\): (\d{1,4})\b")
NO_MEMORY = re.compile(r"\bNV_ERR_NO_MEMORY\b")
# The journal's own: members of adm and systemd-journal read what dmesg_restrict keeps from others.
JOURNAL_MOST = 10_000  # lines
JOURNAL = ("journalctl", "--dmesg", "--no-pager", "--output=short-unix", "--quiet")
JOURNAL_LINE = re.compile(r"(\d+)\.\d+ \S+ kernel: (.*)")


class Log(NamedTuple):
    """The kernel's lines and their times, and whether they go back to boot."""

    source: str
    records: list[tuple[float, str]]
    complete: bool


def kernellog() -> Answer:
    """`count` of the lines of the driver, NVRM, and of those that are errors the last one of each
    kind as `lines`: `at`, seconds of this node's clock; `text`; `xid`, a number or null;
    `no_memory`; `count` of the kind. `source`, where they are from; `complete`, whether that goes
    back to boot; `error`, why none could be read.
    """
    logs: list[Log] = []
    errors: list[str] = []
    for read in (_kmsg, _journal):
        try:
            logs.append(read())
        except OSError as error:
            errors.append(str(error))
        if logs and logs[-1].complete:
            break
    if not logs:
        why = "; ".join(errors)
        return {"source": None, "error": why, "complete": False, "count": 0, "lines": []}
    best = max(logs, key=lambda log: (log.complete, len(log.records)))
    found = [(at, text) for at, text in best.records if ANY.search(text)]
    return {
        "source": best.source,
        "error": None,
        "complete": best.complete,
        "count": len(found),
        "lines": _errors(found),
    }


def _errors(records: Iterable[tuple[float, str]]) -> list[Answer]:
    """The last line of each kind, in order: one program that faults writes hundreds of one kind,
    and what the driver says at every start of a program is no error.
    """
    last: dict[tuple[int | None, bool], tuple[float, str, int]] = {}
    for at, text in records:
        xid = XID.search(text)
        kind = int(xid[1]) if xid else None, bool(NO_MEMORY.search(text))
        if any(kind):
            last[kind] = at, text[:LENGTH], last.pop(kind, (at, text, 0))[2] + 1
    kept = [*last.items()][-MOST:]
    return [
        {"at": at, "text": text, "xid": xid, "no_memory": memory, "count": count}
        for (xid, memory), (at, text, count) in kept
    ]


def _kmsg() -> Log:
    """Raises OSError where this user may not read it (kernel.dmesg_restrict), or it is empty, as
    one that a container has in its place: a kernel always writes some.
    """
    booted = time.time() - time.monotonic()
    text = b"".join(_read(KMSG)).decode(errors="replace")
    records, first = [], None
    for line in text.split("\n"):
        if match := HEADER.match(line):
            first = int(match[1]) if first is None else first
            records.append((booted + int(match[2]) / 1e6, line[match.end() :]))
    if not records:
        raise PermissionError(f"{KMSG} shows no line of the kernel to this user")
    return Log(str(KMSG), records, first == 0)


def _read(path: Path) -> Iterable[bytes]:
    """All there is now: the device gives a record each time, and EAGAIN at the end."""
    fd, read = os.open(path, os.O_RDONLY | os.O_NONBLOCK), 0
    try:
        while read < BYTES:
            try:
                data = os.read(fd, RECORD)
            except BlockingIOError:
                return
            except BrokenPipeError:  # the next records were overwritten
                continue
            if not data:
                return
            read += len(data)
            yield data
    finally:
        os.close(fd)


def _journal() -> Log:
    """Raises OSError where journalctl is missing, or shows this user no line."""
    printed = start([*JOURNAL, f"--lines={JOURNAL_MOST}"]).finish(SECONDS)
    matches = [m for line in printed.splitlines() if (m := JOURNAL_LINE.match(line))]
    if not matches:
        raise PermissionError("journalctl shows no line of the kernel to this user")
    records = [(float(m[1]), m[2]) for m in matches]
    return Log("journalctl --dmesg", records, len(matches) < JOURNAL_MOST)
