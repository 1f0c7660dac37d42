"""The root cause in vLLM's log: the first error that is no reaction to another; pure.

The rule is the same for `up`, `doctor` and `doctor --log`: what a process printed of its own
failure counts, not what others print because it is gone, and not the line that points at it.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sparkctl.engines.vllm import errorlevel
from sparkctl.engines.vllm.errorlevel import Level
from sparkctl.engines.vllm.failures import CRASH, VLLM, WAITING, explain
from sparkctl.engines.vllm.logline import Line, parse
from sparkctl.engines.vllm.stages import FATAL, MILESTONE, READY
from sparkctl.engines.vllm.tracebacks import Printed, Tracebacks
from sparkctl.node.logs import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

LINE_LIMIT = 8192  # characters of a line that are examined
MOST_ERRORS = 256  # the first ones of a start
MANY_STALLS = 120  # seconds; one such line may be of a kernel that is compiled
MOST_RECENT, RECENT = 64, 5000  # errors and lines before the end of an engine that was ready


class Root(NamedTuple):
    """An error: the number of its line, its text in one or more lines, and the process that it is
    of ("": unnamed).
    """

    line: int
    text: str
    source: str = ""
    level: Level = Level.CAUSE

    def __str__(self) -> str:
        return self.text.replace("\n", " ")

    @property
    def described(self) -> str:
        """The text, with the process that it is of."""
        return f"{self} ({self.source})" if self.source else str(self)


class Wedge(NamedTuple):
    """No step of a ready engine has ended since this line, for so many seconds at least."""

    line: int
    text: str
    seconds: int


STALL = re.compile(r"No available shared memory broadcast block found(?: in (\d+) seconds)?")
# A model that pools has tokens of prompts alone.
TOKENS = re.compile(r"Avg (?:prompt|generation) throughput: (\d+(?:\.\d+)?) tokens/s")
STOPS, ENDED = "Shutting down", "died unexpectedly"  # uvicorn's, and vLLM's of its processes
ANSWERS = re.compile(r'"[A-Z]{3,7} /\S* HTTP/\d\.\d" \d{3}\b')  # uvicorn's, once the API is up
TIME = re.compile(r"\b(\d\d-\d\d \d\d:\d\d:\d\d)\b")
ONE_WAIT = 1.5  # intervals at most between two lines of one wait, which come at each interval
BEGINS = re.compile(r"non-default args:|vLLM API server version")


class Tracer:
    """Finds the root cause in a log's lines, fed in their order; takes bounded memory.

    `fatal`: the first line that says that vLLM failed; `ready`: whether its API was up; `waits`:
    what a start waits for in vain; `wedge`: where a ready engine hangs. A new start in the same log
    resets all of it.
    """

    def __init__(self) -> None:
        self._server = ""
        self._begun = False
        self._reset()

    def _reset(self, *, ready: bool = False) -> None:
        self.ready = ready
        self.fatal: Root | None = None
        self.waits: Root | None = None
        self.wedge: Wedge | None = None
        self._stalled: tuple[str, datetime | None] = ("", None)
        self._stopping = False
        self._logged = 0  # the last line that a process logged
        self._errors: list[Printed] = []
        self._recent: deque[Printed] = deque(maxlen=MOST_RECENT)
        self._served: deque[int] = deque(maxlen=2)  # lines with tokens; the first may be of before
        self._tracebacks = Tracebacks()

    @property
    def errors(self) -> list[Root]:
        """The errors that may explain a failure, the root cause first."""
        printed = [*self._errors, *(() if self.fatal else self._recent)]
        if not printed:
            return [self.fatal] if self.fatal else []
        request = self.ready and not self.fatal
        roots = [(_root(e, request=request and self._of_request(e)), e) for e in printed]
        best = min(root.level for root, _ in roots)
        found = [(root, error) for root, error in roots if root.level == best]
        first = found[0][1].chain
        origin = _origin([pair for pair in found if pair[1].chain == first])
        return [origin, *(root for root, error in found if error.chain != first)]

    @property
    def root(self) -> Root | None:
        """The root cause; None without any error."""
        return next(iter(self.errors), None)

    @property
    def same(self) -> list[Root]:
        """The root cause, then the same error of other processes, each once."""
        found: dict[str, Root] = {}
        for error in (errors := self.errors):
            if error.text == errors[0].text:
                found.setdefault(error.source, error)
        return list(found.values())

    @property
    def ended(self) -> bool:
        """Whether a start raised an error that Python printed last: vLLM ended with it, before it
        had an engine that could fail.
        """
        last = self._errors[-1] if self._errors and self._begun and not self.ready else None
        return bool(
            last and last.line > self._logged and not last.logged_by and not _of_engine(last)
        )

    @property
    def awaits_tokens(self) -> bool:
        """Whether tokens would show that a ready engine goes on."""
        return bool(self.wedge) or not all(map(self._of_request, self._recent))

    def _of_request(self, error: Printed) -> bool:
        """Whether a ready engine, if it did not fail, only refused a request."""
        went_on = len(self._served) > 1 and self._served[0] > error.line
        return went_on or not _of_engine(error)

    @property
    def reading(self) -> bool:
        """Whether an error may go on in the next lines."""
        return self._tracebacks.reading

    def feed(self, number: int, raw: str) -> None:
        """Take the next line; `number` is what the result calls it."""
        if raw.startswith(HEADER):
            self._reset()
            self._begun = True
            return
        line = parse(raw[:LINE_LIMIT])
        if line is None:
            return
        if READY in line.text:
            self._reset(ready=True)
        elif line.source and BEGINS.search(line.text):
            self._begins(line)
        else:
            self._logged = number if line.mark else self._logged
            self._progress(number, line, raw)
            self._error(number, line)

    def _begins(self, line: Line) -> None:
        """Reset for the first line of another API server, in a log without headers."""
        self._begun = True
        before, self._server = self._server, line.source
        if before not in ("", line.source):
            self._reset()

    def _progress(self, number: int, line: Line, raw: str) -> None:
        """What the line says of the start's progress, and of the engine's steps."""
        if stall := STALL.search(line.text):
            self._stalls(number, line, int(stall[1] or 60), _time(raw))
        elif tokens := TOKENS.findall(line.text):
            if not self.ready and not self.fatal:  # the line that says so is missing
                self._reset(ready=True)
            if any(map(float, tokens)):
                self.wedge = None
                self._served.append(number)
        elif self.ready:
            if line.text.startswith(STOPS) and line.source.lower().startswith("apiserver"):
                self._stopping = True
        elif ANSWERS.search(line.text) and not self.fatal:
            self._reset(ready=True)
        elif MILESTONE.search(line.text):
            self.waits = None
            if line.pid:  # what it printed of itself did not stop it
                self._errors = [e for e in self._errors if e.logged_by != line.pid]
        elif explain([line.text], WAITING):
            self.waits = self.waits or Root(number, _shown(line), line.source)

    def _stalls(self, number: int, line: Line, seconds: int, time: datetime | None) -> None:
        """Count a stall: each process logs its own, and repeats it while the same wait lasts."""
        if not self.ready:  # maybe a rank compiles or captures graphs
            self.waits = self.waits or Root(number, _shown(line), line.source, Level.REACTION)
        elif self.fatal is None:
            source, last = self._stalled
            gap = (time - last).total_seconds() if time and last else 0
            if self.wedge is None or gap > ONE_WAIT * seconds:
                self.wedge, source = Wedge(number, _shown(line), 0), line.source
            if line.source == source:
                self.wedge = self.wedge._replace(seconds=self.wedge.seconds + seconds)
                self._stalled = source, time

    def _error(self, number: int, line: Line) -> None:
        text = line.text
        if line.quiet and not errorlevel.loud(text):
            return
        error = self._tracebacks.feed(number, line)
        fatal = not (self._stopping and ENDED in text) and FATAL.search(text)
        if error is None and not text.startswith((" ", "\t")) and (fatal or errorlevel.bare(text)):
            error = self._tracebacks.alone(number, line)
        if fatal and self.fatal is None:
            self._fails(Root(number, _shown(line), line.source, Level.FATAL))
        if error is None or errorlevel.points(error.text):
            return
        if self.ready and self.fatal is None:
            self._recent.append(error)
        elif len(self._errors) < MOST_ERRORS:
            self._errors.append(error)

    def _fails(self, fatal: Root) -> None:
        """vLLM failed: an error of a request before, or of long ago, is not why."""
        self.fatal, self.wedge = fatal, None
        if self.ready:
            since = fatal.line - RECENT
            recent = (e for e in self._recent if e.line > since)
            self._errors = [e for e in recent if not self._of_request(e)]


def trace(lines: Iterable[tuple[int, str]]) -> Tracer:
    """What some lines of a log show, by their numbers."""
    tracer = Tracer()
    for number, text in lines:
        for part in text.split("\r"):
            tracer.feed(number, part)
    return tracer


def _time(raw: str) -> datetime | None:
    """When a line was logged, in a leap year, as vLLM names none."""
    found = TIME.search(raw)
    try:
        return datetime.strptime(f"2000-{found[1]}", "%Y-%m-%d %H:%M:%S") if found else None
    except ValueError:
        return None


def _of_engine(error: Printed) -> bool:
    return bool(error.source) and not error.source.lower().startswith("apiserver")


def _shown(line: Line) -> str:
    return line.text.strip()[:500]


def _root(error: Printed, *, request: bool) -> Root:
    text, source = errorlevel.worded(error.text)
    level = errorlevel.level(text, vague=error.vague)
    if request:
        level = Level.REQUEST
    return Root(error.line, text, source or error.source, level)


def _origin(chain: list[tuple[Root, Printed]]) -> Root:
    """The one of a chain of exceptions that says most.

    It is the first with a known cause; else the first with a message, or, as an exception that is
    handled is often an ordinary one, the last that was raised meanwhile.
    """
    known = (root for root, _ in chain if explain([str(root)], (*VLLM, *CRASH)))
    if found := next(known, None):
        return found
    chosen = chain[0][0]
    for root, error in chain[1:]:
        if error.during or ":" not in chosen.text:
            chosen = root
    return chosen
