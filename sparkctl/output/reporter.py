"""Progress of a run, on stderr: a live line on a terminal, plain lines otherwise."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sparkctl.events import Outcome, Reporter, outcome_of
from sparkctl.output.spans import duration
from sparkctl.output.stdio import print_err
from sparkctl.output.terminal import live_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


log = logging.getLogger(__name__)


class PlainReporter:
    """One line an event, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = self._began = time.monotonic()
        self._title = ""
        self._last = ""

    def _line(self, text: str) -> None:
        print_err(f"[{time.monotonic() - self._start:6.1f}s] {text}")

    def step(self, title: str) -> None:
        """Print its title."""
        self._title, self._began, self._last = title, time.monotonic(), ""
        self._line(title)

    def stage(self, title: str, percent: int | None) -> None:
        """Print it, unless it is the one before."""
        text = f"  {title}" + (f" {percent}%" if percent is not None else "")
        if text != self._last:
            self._last = text
            self._line(text)

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def end(self, outcome: Outcome = "done") -> None:
        """Print how the step ended, and its time."""
        if self._title:
            self._line(f"{outcome}: {self._title} ({duration(time.monotonic() - self._began)})")
            self._title = ""


class SafeReporter:
    """Another reporter, and the log; errors of the terminal are dropped: a rollback must go on."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self._stage = ""

    def _report(self, call: Callable[[], None]) -> None:
        with suppress(OSError, SystemExit):  # rich leaves the program on a broken pipe
            call()

    def step(self, title: str) -> None:
        """Log and report it."""
        log.debug("step: %s", title)
        self._report(lambda: self._inner.step(title))

    def stage(self, title: str, percent: int | None) -> None:
        """Log its title once, report it."""
        if title != self._stage:
            self._stage = title
            log.debug("stage: %s", title)
        self._report(lambda: self._inner.stage(title, percent))

    def note(self, text: str) -> None:
        """Log and report it."""
        log.debug("note: %s", text)
        self._report(lambda: self._inner.note(text))

    def end(self, outcome: Outcome = "done") -> None:
        """Log and report it."""
        log.debug("end of the step: %s", outcome)
        self._report(lambda: self._inner.end(outcome))


@contextmanager
def reporting() -> Iterator[Reporter]:
    """The reporter that fits stderr; the step that runs at the block's end ends as the block."""
    inner: Reporter
    if live_stderr():
        from sparkctl.output.live import TerminalReporter

        inner = TerminalReporter()
    else:
        inner = PlainReporter()
    reporter = SafeReporter(inner)
    try:
        yield reporter
    except BaseException as error:
        reporter.end(outcome_of(error))
        raise
    reporter.end()
