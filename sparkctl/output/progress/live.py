"""A run's progress on a terminal: live rows while a step runs, a line that stays at its end."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.output.console import console, print_prose
from sparkctl.output.progress.area import LiveArea
from sparkctl.output.progress.rows import Clocked, named_rows, step_rows, tailed, waited
from sparkctl.output.spans import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparkctl.events import Doing, Outcome, Wait

MARKS: dict[Outcome, Text] = {
    "done": Text("✓", "green"),
    "failed": Text("✗", "bold red"),
    "interrupted": Text("✗", "bold yellow"),
}


class TerminalReporter:
    """A spinner, the step, its stage and its time; below it a row for each part that goes on, and
    for each node that is waited for.

    Nothing is drawn between two steps: after `end` the terminal is free, also for a question.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._console = console(stderr=True)
        self._lock = Lock()
        self._area: LiveArea | None = None
        self._title = ""
        self._doing = Clocked(0.0)
        self._parts: dict[str, Clocked] = {}
        self._waits: Callable[[], Sequence[Wait]] = list

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Show the nodes that this gives, from now on, while a step runs."""
        self._waits = waits

    def step(self, title: str) -> None:
        """Begin to draw it; the step before is done."""
        self.end()
        with self._lock:
            self._title, self._doing, self._parts = title, Clocked(self._now()), {}
        self._area = LiveArea(self.rows)
        self._area.start()

    def stage(self, doing: Doing) -> None:
        """Draw it from now on."""
        with self._lock:
            self._doing = Clocked(self._doing.since, *doing)

    def part(self, name: str, doing: Doing) -> None:
        """Draw it from now on; its clock begins with its first stage."""
        with self._lock:
            before = self._parts.get(name)
            since = before.since if before else self._now()
            self._parts[name] = Clocked(since, *doing)

    def ended(self, name: str, text: str, outcome: Outcome = "done") -> None:
        """Print the part's result with its mark and time above the rows."""
        with self._lock:
            part = self._parts.pop(name, self._doing)
        self._print(self._line(f"{name}: {text}", part.since, outcome))

    def note(self, text: str) -> None:
        """Print it above the rows."""
        self._print(Text(text))

    def end(self, outcome: Outcome = "done") -> None:
        """Print the step with its mark and time, and draw nothing more."""
        if self._area is None:
            return
        self._area.stop()  # again, where Ctrl-C has interrupted it
        self._area = None
        self._print(self._line(self._title, self._doing.since, outcome))

    def rows(self, width: int) -> list[Text]:
        """What is drawn now on so many columns."""
        now = self._now()
        with self._lock:
            title, doing, parts = self._title, self._doing, {**self._parts}
        below = [*parts.items(), *waited(self._waits(), now, but=parts)]
        return [*step_rows(title, doing, now, width), *named_rows(below, now, width)]

    def _line(self, title: str, since: float, outcome: Outcome) -> Text:
        tail = Text(duration(self._now() - since), "dim")
        if outcome != "done":
            tail = Text.assemble(tail, (f" {outcome}", MARKS[outcome].style))
        head = Text.assemble(MARKS[outcome], f" {title}")
        return Text("\n").join(tailed(head, tail, self._console.width, " "))

    def _print(self, line: Text) -> None:
        if self._area is None:
            print_prose(self._console, line, hang=2)
        else:
            self._area.print(line)
