"""How far a log shows a start: the stage, the progress within it, and why it failed; pure."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from sparkctl.engines.vllm.rootcause import Root, Tracer
from sparkctl.engines.vllm.stages import STAGES, Stage

TAIL_LINES = 60  # shown to the user
FIRST_LINES, LAST_LINES = 4000, 16_000
LINE_LIMIT = 1 << 16  # characters
KEPT_KEYS = 4096
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SHARDS = re.compile(r"Loading safetensors checkpoint shards:\s+(\d+)% Completed \| (\d+)/(\d+)")
# What varies in a line that is repeated: numbers and identifiers, but not a progress bar's
# percentage or count.
VARYING = re.compile(r"(\d+(?:\.\d+)?%|\b\d+/\d+\b)|\b[0-9a-f]{8,}\b|\d+")


class Causes(Protocol):
    """Finds in a log's lines what failed: the first line that says so, and the cause."""

    @property
    def fatal(self) -> Root | None:
        """The first line that says that the engine failed."""

    @property
    def root(self) -> Root | None:
        """The cause; None without any error."""

    def feed(self, number: int, line: str) -> None:
        """Take a line."""


@dataclass
class Progress:
    """The state of a start, fed with the log as it grows.

    `count` is of all lines, `news` of those that repeat no earlier one. Another engine's log has
    other `stages`, another `percentage` (the first group that matches) and another stage by which
    the ranks have `met`.
    """

    stages: ClassVar[tuple[Stage, ...]] = STAGES
    percentage: ClassVar[re.Pattern[str]] = SHARDS
    met: ClassVar[str] = "ranks"

    stage: int = -1
    percent: int | None = None
    count: int = 0
    news: int = 0
    _first: list[str] = field(default_factory=list)
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    _tracer: Causes = field(default_factory=Tracer)
    _known: dict[str, None] = field(default_factory=dict)  # least recently repeated first
    _partial: str = ""

    @property
    def stage_id(self) -> str:
        """The stage's id, `starting` before the first one."""
        return self.stages[self.stage].id if self.stage >= 0 else "starting"

    @property
    def title(self) -> str:
        """The stage's title, for people."""
        return self.stages[self.stage].title if self.stage >= 0 else "starting"

    @property
    def usual(self) -> str:
        """How long the stage takes as a rule; empty where that is not known."""
        return self.stages[self.stage].usual if self.stage >= 0 else ""

    @property
    def ready(self) -> bool:
        """Whether the API reports that it is up; a completion may still fail."""
        return self.stage == len(self.stages) - 1

    @property
    def joined(self) -> bool:
        """Whether the ranks have joined, and so have their nodes."""
        return self.stage >= [stage.id for stage in self.stages].index(self.met)

    def feed(self, text: str) -> bool:
        """Take more of the log, cut anywhere; True when the stage or percentage changed."""
        before = (self.stage, self.percent)
        *lines, self._partial = re.split(r"[\r\n]", self._partial + text)
        self._partial = self._partial[:LINE_LIMIT]
        for line in lines:
            self._line(ANSI.sub("", line[:LINE_LIMIT]).rstrip())
        return (self.stage, self.percent) != before

    def _line(self, line: str) -> None:
        if not line:
            self._tracer.feed(self.count, line)
            return
        self.count += 1
        (self._first if len(self._first) < FIRST_LINES else self._last).append(line)
        self._tracer.feed(self.count, line)
        self._repeats(line)
        for index in range(len(self.stages) - 1, self.stage, -1):
            if self.stages[index].begins.search(line):
                self.stage, self.percent = index, None
                break
        if found := self.percentage.search(line):
            self.percent = int(found[1])

    def _repeats(self, line: str) -> None:
        """Count a line unless it repeats one: while a rank hangs, the others repeat theirs."""
        key = VARYING.sub(lambda varying: varying[1] or "", line)
        if key in self._known:
            del self._known[key]
        else:
            self.news += 1
        self._known[key] = None
        if len(self._known) > KEPT_KEYS:
            del self._known[next(iter(self._known))]

    @property
    def failed(self) -> bool:
        """Whether a line says that vLLM failed."""
        return self._tracer.fatal is not None

    @property
    def root(self) -> Root | None:
        """The cause of a failed start; None without any error."""
        return self._tracer.root

    @property
    def described(self) -> str:
        """That cause, in one line; empty without one."""
        return self.root.described if self.root else ""

    @property
    def source(self) -> str:
        """The process that logged it; empty where that is unknown."""
        return (self.root.source or "") if self.root else ""

    @property
    def tail(self) -> list[str]:
        """The last lines, as many as a user reads."""
        return [*self._first[-TAIL_LINES:], *self._last][-TAIL_LINES:]

    @property
    def lines(self) -> list[str]:
        """The log's first and last lines, and the root cause of what lies between."""
        missing = self.count - len(self._first) - len(self._last)
        if not missing:
            return [*self._first, *self._last]
        between = [f"... {missing} lines left out ..."]
        root = self.root
        if root and len(self._first) < root.line <= len(self._first) + missing:
            source = f"({root.source}) " if root.source else ""
            between.append(f"{source}{root}")
        return [*self._first, *between, *self._last]
