"""What the program around NCCL (torch, vLLM) says of NCCL's errors, in lines of its own; pure."""

from __future__ import annotations

import re

from sparkctl.fabric.nccllog.lines import COLOUR, TEXT_LIMIT, shown

# ncclGetErrorString (NCCL's src/init.cc), behind torch's `NCCL error in: FILE:LINE, …` and vLLM's
# `NCCL error: …`; torch adds a line that begins with the name.
RESULT = re.compile(
    r"NCCL error\b.{0,400}?\b(?P<words>unhandled cuda error|unhandled system error|internal error"
    r"|invalid argument|invalid usage|remote process exited)|ncclInvalidUsage\b"
)
INVALID_USAGE = "invalid usage"
# torch's ProcessGroupNCCL.cpp, on a rank that waits for another to open NCCL.
ROOT_LOST = re.compile(r"\[[0-9]+\] is setting up NCCL communicator and retrieving ncclUniqueId")
LOST = "root lost"


def error(line: str) -> tuple[str, str] | None:
    """The kind of error that a line tells of (NCCL's words, or LOST), and its text; else None."""
    line = COLOUR.sub("", line)
    if lost := ROOT_LOST.search(line):
        return LOST, shown(line[lost.start() :][:TEXT_LIMIT])
    if result := RESULT.search(line):
        return result["words"] or INVALID_USAGE, shown(line[result.start() :][:TEXT_LIMIT])
    return None
