"""A line of vLLM's log without what vLLM, Ray and torch put before its text; pure.

The forms: vLLM 0.17 to 0.33 (logging_utils/formatter.py and system_utils.py), Ray 2.60
(_private/ray_logging), torch 2.11 (`[rank0]:`), uvicorn.
"""

from __future__ import annotations

import re
from typing import NamedTuple

OF_NCCL = re.compile(r"NCCL (?:INFO|WARN) ")
# A pasted log has lost the ESC of its colours.
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\[[0-9;]{1,8}m")
PROCESS = re.compile(
    r"\((?P<name>(?=[^()]{0,80}(?:\bpid=|\braylet\b|\brank=))[\w.:=, +-]{1,120})\) ?"
    r"|\[(?P<rank>rank\d+)\]:? ?"
)
LEVELS = "DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL"
# vLLM's (the file in brackets, in old releases before a closing one), Ray's, that of Ray's C++
# code, uvicorn's, and a level alone.
MARK = re.compile(
    rf"(?:(?P<vllm>{LEVELS}) (?:[\d:.-]+ ){{0,2}}\[?(?P<file>[\w./-]+(?::\d+)?)\] ?"
    rf"|[\d-]{{10}} [\d:,]+\s+(?P<ray>{LEVELS}) [\w.]+:\d+ -- "
    r"|\[[\d-]{10} [\d:,.]+ (?P<letter>[A-Z]) \d+ \d+\] (?:\(\w+\) )?\S+\.cc:\d+: +"
    rf"|(?P<other>{LEVELS}):? +)"
)
LETTERS = {"D": "DEBUG", "I": "INFO", "W": "WARNING"}
QUIET = ("DEBUG", "INFO", "WARNING")
# In a line of another form; not the INFO of `NCCL_DEBUG=INFO`.
MENTIONED = re.compile(rf"(?<!=)\b(?:{'|'.join(QUIET)})\b")
REPEATED = re.compile(r"\s*\[repeated \d+x across cluster\].*$")
PID = re.compile(r"\bpid=\d+(?:, ip=[\w.:]+)?")


class Line(NamedTuple):
    """`text` keeps its indentation; `mark` is the level with the file that logged it: vLLM puts it
    before each line of a message.

    `process` has all prefixes, so that the lines of one process differ from another's, and
    `source` the one that names it best: with an address, else the innermost.
    """

    process: str
    source: str
    mark: str
    quiet: bool
    text: str

    @property
    def pid(self) -> str:
        """The id of the process that printed it, with the address of another node's, if known."""
        found = PID.search(self.source)
        return found[0] if found else ""


def parse(raw: str) -> Line | None:
    """The parts of a line; None for one of NCCL's own."""
    line = COLOUR.sub("", raw).rstrip() if "m" in raw else raw.rstrip()
    if "NCCL " in line and OF_NCCL.search(line):
        return None
    start, names = 0, []
    while prefix := PROCESS.match(line, start):
        names.append(prefix["name"] or prefix["rank"])
        start = prefix.end()
    source = next((n for n in reversed(names) if "ip=" in n), names[-1] if names else "")
    process, mark, level = line[:start], "", ""
    if found := MARK.match(line, start):
        level = found["vllm"] or found["ray"] or found["other"] or LETTERS.get(found["letter"], "E")
        mark, start = f"{level} {found['file']}" if found["file"] else "", found.end()
    text = REPEATED.sub("", line[start:]) if "[repeated " in line else line[start:]
    quiet = level in QUIET if level else MENTIONED.search(text) is not None
    return Line(process, source, mark, quiet, text)
