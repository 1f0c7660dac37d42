"""Progress of a run, on stderr: a spinner with the stage on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Protocol


class Reporter(Protocol):
    """What a long operation tells while it runs."""

    def step(self, title: str) -> None:
        """A step begins; the one before is over."""

    def stage(self, title: str, percent: int | None) -> None:
        """Progress within the step."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to a question."""

    def close(self) -> None:
        """The run is over."""


class PlainReporter:
    """One line an event, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = ""

    def _line(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:6.1f}s] {text}", file=sys.stderr, flush=True)

    def step(self, title: str) -> None:
        self._line(title)

    def stage(self, title: str, percent: int | None) -> None:
        text = f"  {title}" + (f" {percent}%" if percent is not None else "")
        if text != self._last:
            self._last = text
            self._line(text)

    def note(self, text: str) -> None:
        self._line(text)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        pass


class TerminalReporter:
    """A live line with a spinner, the bar of the stage and the elapsed time."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)
        self._start = time.monotonic()
        self._title = ""
        self._progress.start()

    def step(self, title: str) -> None:
        self._finish()
        self._title, self._start = title, time.monotonic()
        self._progress.reset(self._task, description=title, total=None)

    def _finish(self) -> None:
        if self._title:
            seconds = time.monotonic() - self._start
            self._console.print(f"[green]✓[/] {self._title} [dim]{seconds:.1f}s[/]")
            self._title = ""

    def stage(self, title: str, percent: int | None) -> None:
        self._progress.update(
            self._task,
            description=f"{self._title}: {title}",
            total=None if percent is None else 100,
            completed=percent or 0,
        )

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def close(self) -> None:
        self._progress.stop()


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

    def paused(self) -> AbstractContextManager[None]:
        return self._inner.paused()

    def close(self) -> None:
        self._tell(self._inner.close)


def reporter() -> Reporter:
    """The reporter that fits stderr."""
    return Surviving(TerminalReporter() if sys.stderr.isatty() else PlainReporter())
