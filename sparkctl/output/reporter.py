"""Progress of a run, on stderr: a live line on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.events import Outcome, Reporter, outcome_of
from sparkctl.output.spans import duration
from sparkctl.output.terminal import live_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class PlainReporter:
    """One line an event, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = self._began = time.monotonic()
        self._title = ""
        self._last = ""

    def _line(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f}s] {text}", file=sys.stderr, flush=True)

    def step(self, title: str) -> None:
        self._title, self._began, self._last = title, time.monotonic(), ""
        self._line(title)

    def stage(self, title: str, percent: int | None) -> None:
        text = f"  {title}" + (f" {percent}%" if percent is not None else "")
        if text != self._last:
            self._last = text
            self._line(text)

    def note(self, text: str) -> None:
        self._line(text)

    def end(self, outcome: Outcome = "done") -> None:
        if self._title:
            self._line(f"{outcome}: {self._title} ({duration(time.monotonic() - self._began)})")
            self._title = ""


class Surviving:
    """Another reporter for as long as somebody reads it: an undo must not stop for want of that."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner

    def _tell(self, line: Callable[[], None]) -> None:
        with suppress(OSError, SystemExit):  # rich leaves the program on a broken pipe
            line()

    def step(self, title: str) -> None:
        self._tell(lambda: self._inner.step(title))

    def stage(self, title: str, percent: int | None) -> None:
        self._tell(lambda: self._inner.stage(title, percent))

    def note(self, text: str) -> None:
        self._tell(lambda: self._inner.note(text))

    def end(self, outcome: Outcome = "done") -> None:
        self._tell(lambda: self._inner.end(outcome))


@contextmanager
def reporting() -> Iterator[Reporter]:
    """The reporter that fits stderr; the step that runs at the block's end ends as the block."""
    inner: Reporter
    if live_stderr():
        from sparkctl.output.live import TerminalReporter

        inner = TerminalReporter()
    else:
        inner = PlainReporter()
    told = Surviving(inner)
    try:
        yield told
    except BaseException as error:
        told.end(outcome_of(error))
        raise
    told.end()
