"""What the log of the toy engine shows of its start."""

from __future__ import annotations

import re

from sparkctl.engines.engine import Silent

STAGES = (
    ("joining", "waiting for rank 1", re.compile(r"rank 0 waits")),
    ("loading", "loading toys", re.compile(r"rank 0 loads (?P<percent>\d+) %$")),
    ("serving", "serving", re.compile(r"rank 0 serves")),
)


class Progress(Silent):
    """The start of rank 0, by the last line of a stage."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = ""

    def feed(self, text: str) -> bool:
        """Take more of the log."""
        *lines, self._rest = (self._rest + text).split("\n")
        before = (self.title, self.percent)
        super().feed("\n".join(lines))
        for line in lines:
            self._take(line)
        return before != (self.title, self.percent)

    def _take(self, line: str) -> None:
        if "fatal: " in line:
            self.failed, self.described = True, line.partition("fatal: ")[2]
        for stage_id, title, pattern in STAGES:
            if found := pattern.match(line):
                self.stage_id, self.title, self.ready = stage_id, title, stage_id == "serving"
                self.percent = int(found["percent"]) if pattern.groups else None
                self.news += 1
