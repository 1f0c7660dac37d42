"""The NCCL record in a line of a log, without what vLLM and Ray put around it; pure.

The forms: NCCL 2.8 to 2.30.7, src/debug.cc.
"""

from __future__ import annotations

import re
from typing import NamedTuple

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
# host:pid:tid [dev], then file:line and (function) on a WARN, right before LEVEL.
HEAD = re.compile(
    r"(?<![\w.-])(?P<host>[A-Za-z0-9][\w.-]*):(?P<pid>[0-9]{1,10}):[0-9]+ \[-?[0-9]+\] "
    r"(?:\S+:[0-9]+ (?:\(.*\) )?)?$"
)
HEAD_LIMIT = 400
FOLDED = re.compile(r"\[repeated [0-9]+x across cluster\]")


class Record(NamedTuple):
    """One NCCL message of a process.

    `text` is the line to show, in which the message begins at `start`; `folded`: Ray replaced
    repeats by a count.
    """

    host: str
    pid: int
    level: str
    message: str
    text: str
    start: int
    folded: bool


def parse(line: str) -> Record | None:
    """The record in a line; None for a line that is not NCCL's."""
    if "\x1b" in line:
        line = COLOUR.sub("", line)
    elif "[0m" in line or "[0;0m" in line:
        line = COLOUR_LEFT.sub("", line)
    if (level := LEVEL.search(line)) is None:
        return None
    start = max(0, level.start() - HEAD_LIMIT)
    if (head := HEAD.search(line[start : level.start()])) is None:
        return None
    fold = FOLDED.search(line, level.end())
    message = line[level.end() : fold.start()].rstrip() if fold else line[level.end() :]
    prefix = head[0] + level[0]
    return Record(
        host=head["host"],
        pid=int(head["pid"]),
        level=level[1],
        message=message,
        text=shown((prefix + message)[:TEXT_LIMIT]),
        start=len(prefix),
        folded=fold is not None,
    )


def shown(text: str) -> str:
    """The text with a replacement for each character that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
