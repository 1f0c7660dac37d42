"""Waiting for several services at once: each in its own thread, until the first failure."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from sparkctl.events import Doing
from sparkctl.remote.fanout import each

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparkctl.events import Outcome, Reporter
    from sparkctl.operations.run import Run


def together(run: Run, waits: Mapping[str, Callable[[Run], None]]) -> None:
    """Carry out these waits, by name; the stages of several show whose they are.

    They change nothing on a node. The first failure, or Ctrl-C, is raised at once: the others end
    at their next look (Run.check) and report nothing more.
    """
    if len(waits) == 1:
        next(iter(waits.values()))(run)
        return
    over, lock = threading.Event(), threading.Lock()

    def wait(name: str) -> None:
        waits[name](replace(run, over=over, reporter=Part(name, run.reporter, over, lock)))

    try:
        each([*waits], wait, key=str, until_failure=True)
    finally:
        with lock:
            over.set()


class Part:
    """Reports the progress of a part of a step that several share, until that is over."""

    def __init__(
        self, name: str, inner: Reporter, over: threading.Event, lock: threading.Lock
    ) -> None:
        self._name, self._inner, self._over, self._lock = name, inner, over, lock

    def step(self, title: str) -> None:
        """A step of this part is a stage of it."""
        self.stage(Doing(title))

    def stage(self, doing: Doing) -> None:
        """The part's stage, the step's where it has no name."""
        with self._lock:
            if self._over.is_set():
                return
            if self._name:
                self._inner.part(self._name, doing)
            else:
                self._inner.stage(doing)

    def part(self, name: str, doing: Doing) -> None:
        """A part of this one."""
        with self._lock:
            if not self._over.is_set():
                self._inner.part(self._named(name), doing)

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        """A part of this one has ended."""
        with self._lock:
            if not self._over.is_set():
                self._inner.ended(self._named(name), text, outcome)

    def _named(self, name: str) -> str:
        return f"{self._name}: {name}" if self._name else name

    def note(self, text: str) -> None:
        """As it is."""
        with self._lock:
            if not self._over.is_set():
                self._inner.note(text)

    def end(self, outcome: Outcome = "done") -> None:
        """The step goes on for the others."""
