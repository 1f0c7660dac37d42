"""The NCCL record in a line of a log, without what vLLM and Ray put around it; pure.

The forms: NCCL 2.8 to 2.30.7, src/debug.cc.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    Owner = Callable[[str, int], str | None]

# Each relevant line contains this; all others are skipped by this test alone.
NEEDLE = b"NCCL"
# gloo's transport/tcp/device.cc, under torch's and vLLM's own words.
GLOO_NEEDLE = b"Unable to find address for"
# Gloo prints quotes and spaces of the value.
GLOO = re.compile(
    r"Unable to find address for: "
    r"(?P<name> {0,7}(?:\"[^\"]{0,80}\"|'[^']{0,80}'|[\w.^=,:;-]{1,80}))"
)
TEXT_LIMIT = 300

COLOUR = re.compile(r"\x1b\[[0-9;]{0,16}m")
# Logs that were pasted into an issue have lost the ESC.
COLOUR_LEFT = re.compile(r"\[[0-9;]{0,16}m")
LEVEL = re.compile(r"NCCL (INFO|WARN) ")
# [dev], then file:line and (function) on a WARN, right before LEVEL.
_DEVICE = r"\[-?[0-9]+\] (?:\S+:[0-9]+ (?:\(.*\) )?)?$"
# host:pid:tid; a process id has no leading zero and at most seven digits (PID_MAX_LIMIT, 2^22).
_HEAD = r"(?P<host>[A-Za-z0-9][\w.-]*):(?P<pid>[1-9][0-9]{0,6}):(?P<tid>[1-9][0-9]{0,6}) " + _DEVICE
HEAD = re.compile(r"(?<![\w.-])" + _HEAD)
GLUED_HEAD = re.compile(_HEAD)
# What a torn line leaves of a head: `:684:684 [0] `, `84:684 [0] `, `84 [0] ` or `[0] `.
TORN_HEAD = re.compile(
    r"(?:(?::(?P<pid>[1-9][0-9]{0,6}):|(?<![0-9.-])[0-9]{0,7}:)(?P<tid>[1-9][0-9]{0,6}) )?"
    + _DEVICE
)
# 14:45:47 of a date before what is left of a WARN's head.
CLOCK = re.compile(r"[0-9]{2}:[0-5]?[0-9]:[0-5]?[0-9] ")
HEAD_LIMIT = 400
FOLDED = re.compile(r"\[repeated [0-9]+x across cluster\]")
# The process as vLLM's and Ray's prefixes name it: (EngineCore_DP0 pid=2301) (RayWorkerProc pid=9).
ENGINE = re.compile(r"\((EngineCore\w{0,20}) pid=([0-9]{1,10})\)")
PREFIX = re.compile(r"\(\w{1,40} pid=([0-9]{1,10})((?:, ip=[^)\s]{1,64})?)\)")


class Record(NamedTuple):
    """One NCCL message of a process.

    `text` is the line to show, in which the message begins at `start`; `folded`: Ray replaced
    repeats by a count. Of a torn line `host` is empty, and `pid` what is left of it or what Ray's
    prefix says, else 0. `engine` is vLLM's engine by name and pid, and `origin` the process and
    its node, as the prefixes have them.
    """

    host: str
    pid: int
    level: str
    message: str
    text: str
    start: int
    folded: bool
    tid: int = 0
    engine: tuple[str, int] | None = None
    origin: str = ""


class Prefixes(NamedTuple):
    """The engine, the process and node, and the pid, as vLLM's and Ray's prefixes have them."""

    engine: tuple[str, int] | None
    origin: str
    pid: int


def parse(line: str) -> Record | None:
    """The first record with a whole head in a line; None if there is none."""
    return next((record for record in records(line) if record.host), None)


def records(line: str, owner: Owner = lambda _host, _pid: None) -> list[Record]:
    """The records in a line, of which a torn log may have several; the text between is theirs.

    `owner` gives the known host that a name ends in, where that pid's process is known and this
    name is not: what another line left before it is then not part of its name.
    """
    if "\x1b" in line:
        line = COLOUR.sub("", line)
    elif "[0m" in line or "[0;0m" in line:
        line = COLOUR_LEFT.sub("", line)
    found = []
    for level in LEVEL.finditer(line):
        begin = max(0, level.start() - HEAD_LIMIT)
        if head := _head(line[begin : level.start()], owner):
            found.append((begin, level, head))
    ends = [*(begin + head.start() for begin, _, head in found), len(line)][1:]
    return [_record(line, *at, end) for at, end in zip(found, ends, strict=True)] if found else []


def _head(before: str, owner: Owner) -> re.Match[str] | None:
    """What stands before the level: a whole head, else what is left of one."""
    head = HEAD.search(before)
    if head is None or CLOCK.match(head[0]):
        return TORN_HEAD.search(before)
    if host := owner(head["host"], int(head["pid"])):
        return GLUED_HEAD.match(before, head.end("host") - len(host))
    return head


def _record(line: str, offset: int, level: re.Match[str], head: re.Match[str], end: int) -> Record:
    """The record whose message begins after `level` and ends at `end`.

    Of a torn head the pid is what is left of it, else what the prefix says, else the thread's id,
    which is the pid in most lines.
    """
    host = head["host"] if head.re is not TORN_HEAD else ""
    prefixes = _prefixes(line[offset : offset + head.start()])
    fold = FOLDED.search(line, level.end(), end)
    message = line[level.end() : fold.start()].rstrip() if fold else line[level.end() : end]
    prefix = head[0] + level[0]
    return Record(
        host=host,
        pid=int(head["pid"] or (not host and (prefixes.pid or head["tid"])) or 0),
        level=level[1],
        message=message,
        text=shown((prefix + message)[:TEXT_LIMIT]),
        start=len(prefix),
        folded=fold is not None,
        tid=int(head["tid"] or 0),
        engine=prefixes.engine,
        origin=prefixes.origin,
    )


@lru_cache(maxsize=256)
def _prefixes(before: str) -> Prefixes:
    """What the text before a head says of its process."""
    engine = ENGINE.search(before)
    found = PREFIX.findall(before)
    return Prefixes(
        (engine[1], int(engine[2])) if engine else None,
        "".join(found[-1]) if found and before.rstrip().endswith(")") else "",
        int(found[-1][0]) if found else 0,
    )


def shown(text: str) -> str:
    """The text with a replacement for each character that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
