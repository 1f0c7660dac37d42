"""Progress of a run, on stderr: a live line on a terminal, plain lines otherwise."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from sparkctl.events import Doing, Outcome, Reporter, Wait, outcome_of
from sparkctl.output.spans import duration
from sparkctl.output.stdio import print_err
from sparkctl.output.terminal import live_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


log = logging.getLogger(__name__)
EVERY = 10  # percent between two plain lines of a part


class Screen(Reporter, Protocol):
    """A reporter that can show what nodes are waited for."""

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Show below the steps from now on what this gives."""


class PlainReporter:
    """One line an event, with the seconds since the start."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = self._began = now()
        self._title = ""
        self._last: dict[str, Doing] = {}  # by part, the step's own by ""
        self._parts: dict[str, float] = {}  # when they began

    def _line(self, text: str) -> None:
        print_err(f"[{self._now() - self._start:6.1f}s] {text}")

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Nothing is shown of it."""

    def step(self, title: str) -> None:
        """Print its title, and before it the end of the step before."""
        self.end()
        self._title, self._began = title, self._now()
        self._last, self._parts = {}, {}
        self._line(title)

    def stage(self, doing: Doing) -> None:
        """Print it, unless it is the one before, and what is usual once."""
        self._progress("", doing)

    def part(self, name: str, doing: Doing) -> None:
        """Print it, a percentage every now and then, with its figures."""
        self._parts.setdefault(name, self._now())
        percent = doing.percent
        if percent is None:  # a line of a log, not figures
            doing = doing._replace(detail="")
        else:
            doing = doing._replace(percent=percent - percent % EVERY)
        self._progress(name, doing)

    def _progress(self, name: str, doing: Doing) -> None:
        before = self._last.get(name)
        self._last[name] = doing
        known = before is not None and before.title == doing.title
        if known and before is not None and before.percent == doing.percent:
            return
        text = f"{name}: {doing.title}" if name else doing.title
        text += "" if doing.percent is None else f" {doing.percent}%"
        more = doing.detail or ("" if known else doing.usual)
        self._line(f"  {text} ({more})" if more else f"  {text}")

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        """Print the part's result and time."""
        took = duration(self._now() - self._parts.get(name, self._began))
        self._line(f"  {outcome}: {name}: {text} ({took})")

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def end(self, outcome: Outcome = "done") -> None:
        """Print how the step ended, and its time."""
        if self._title:
            self._line(f"{outcome}: {self._title} ({duration(self._now() - self._began)})")
            self._title = ""


class SafeReporter:
    """Another reporter, and the log; errors of the terminal are dropped: a rollback must go on."""

    def __init__(self, inner: Screen) -> None:
        self._inner = inner
        self._runs = False
        self._stages: dict[str, str] = {}

    def _report(self, call: Callable[[], None]) -> None:
        with suppress(OSError, SystemExit):  # rich leaves the program on a broken pipe
            call()

    def _log(self, name: str, title: str) -> None:
        if self._stages.get(name) != title:
            self._stages[name] = title
            log.debug("stage: %s", f"{name}: {title}" if name else title)

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Report them."""
        self._report(lambda: self._inner.watch(waits))

    def step(self, title: str) -> None:
        """Log and report it."""
        self._runs = True
        log.debug("step: %s", title)
        self._report(lambda: self._inner.step(title))

    def stage(self, doing: Doing) -> None:
        """Log its title once, report it."""
        self._log("", doing.title)
        self._report(lambda: self._inner.stage(doing))

    def part(self, name: str, doing: Doing) -> None:
        """Log its title once, report it."""
        self._log(name, doing.title)
        self._report(lambda: self._inner.part(name, doing))

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        """Log and report it."""
        log.debug("%s: %s: %s", outcome, name, text)
        self._report(lambda: self._inner.ended(name, text, outcome))

    def note(self, text: str) -> None:
        """Log and report it."""
        log.debug("note: %s", text)
        self._report(lambda: self._inner.note(text))

    def end(self, outcome: Outcome = "done") -> None:
        """Log and report it; a run without a step, as with a wrong inventory, makes no log."""
        if self._runs:
            log.debug("end of the step: %s", outcome)
        self._runs = False
        self._report(lambda: self._inner.end(outcome))


@contextmanager
def reporting() -> Iterator[SafeReporter]:
    """The reporter that fits stderr; the step that runs at the block's end ends as the block.

    With --debug stderr is a log, which redrawn rows would tear.
    """
    inner: Screen
    if live_stderr() and not logging.getLogger().isEnabledFor(logging.DEBUG):
        from sparkctl.output.progress.live import TerminalReporter

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
