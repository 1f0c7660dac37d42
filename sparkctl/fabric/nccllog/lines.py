"""One line of a log → the NCCL record in it, without what vLLM and Ray put around it; pure.

The forms: NCCL 2.8 to 2.30.7, src/debug.cc.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Every line that matters holds this; the rest of a log is skipped by this test alone.
NEEDLE = b"NCCL"
# gloo's transport/tcp/device.cc, under torch's and vLLM's own words.
GLOO_NEEDLE = b"Unable to find address for"
# Quotes and spaces in the value are printed as they are.
GLOO = re.compile(
    r"Unable to find address for: {1,8}(?:\"[^\"]{0,80}\"|'[^']{0,80}'|[\w.^=,:;-]{1,80})"
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
    """One NCCL message: who said it, `text` to show, and whether Ray folded repeats into it."""

    host: str
    pid: int
    level: str
    message: str
    text: str
    folded: bool


def parse(line: str) -> Record | None:
    """The record in a line; None when the line is not NCCL's."""
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
    return Record(
        host=head["host"],
        pid=int(head["pid"]),
        level=level[1],
        message=message,
        text=shown((head[0] + level[0] + message)[:TEXT_LIMIT]),
        folded=fold is not None,
    )


def shown(text: str) -> str:
    """The text without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
