"""How far SGLang's log shows a start, and why it failed; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sparkctl.engines.sglang.stages import FATAL, PERCENT, STAGES
from sparkctl.engines.vllm import progress as vllm
from sparkctl.engines.vllm.rootcause import Root

LIMIT = 2000  # characters of an error that are kept
TRACE = "Traceback (most recent call last):"
# `[2026-11-22 05:59:42 TP0] `; without parallelism no rank.
PREFIX = re.compile(r"^\[[\d-]{10} [\d:]{8}(?: (?P<source>[A-Z]{2}\d[^\]]{0,40}))?\] ")
ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b")
# The launcher's words of a process that ended without an exception, and uvicorn's of its port.
OTHER = re.compile(
    r"^sglang(?: serve)?: error: |^Subprocess \S+ .*crashed with exit code -?\d"
    r"|^Scheduler or DataParallelController \d+ terminated with -?[1-9]|^ERROR: +\[Errno \d+\] "
)


class Tracer:
    """Finds the cause in a log's lines: the first traceback's error, from which the later ones
    follow, else the first other line about a failure.
    """

    def __init__(self) -> None:
        self.fatal: Root | None = None
        self._error: Root | None = None
        self._other: Root | None = None
        self._source = ""
        self._traced = False

    @property
    def root(self) -> Root | None:
        """The cause; None without any error."""
        return self._error or self._other or self.fatal

    def feed(self, number: int, line: str) -> None:
        """Take a line."""
        if prefix := PREFIX.match(line):
            self._source, self._traced = prefix["source"] or "", False
            line = line[prefix.end() :]
        if self.fatal is None and FATAL.search(line):
            self.fatal = self._root(number, line)
            if TRACE in line:
                self._error = None  # an earlier one was handled
        if TRACE in line:
            self._traced = True
        elif self._traced and ERROR.match(line):
            self._traced = False
            self._error = self._error or self._root(number, line)
        elif self._other is None and OTHER.match(line):
            self._other = self._root(number, line)

    def _root(self, number: int, line: str) -> Root:
        return Root(number, line[:LIMIT].strip(), self._source)


@dataclass
class Progress(vllm.Progress):
    """The state of SGLang's start, fed with the log of rank 0's launcher as it grows."""

    stages = STAGES
    percentage = PERCENT
    met = "loading"

    _tracer: vllm.Causes = field(default_factory=Tracer)
