"""A run's progress on a terminal: a live line while a step runs, a line that stays at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sparkctl.output.console import console, print_prose
from sparkctl.output.spans import duration, elapsed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sparkctl.events import Outcome

BAR = 16  # columns
TITLE = 4  # a long title keeps one part in so many of the line; its stage, which changes, the rest
NARROW = 60  # columns below which there is no room for a bar
MARKS: dict[Outcome, Text] = {
    "done": Text("✓", "green"),
    "failed": Text("✗", "bold red"),
    "interrupted": Text("✗", "bold yellow"),
}


class TerminalReporter:
    """A spinner, the step and its stage, a bar and the step's own time.

    Nothing is drawn between two steps: after `end` the terminal is free, also for a question.
    """

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._spinner = Spinner("dots", style="progress.spinner")
        self._live: Live | None = None
        self._start = 0.0
        self._title = self._stage = ""
        self._percent: int | None = None

    def step(self, title: str) -> None:
        """Begin to draw it; the step before is done."""
        self.end()
        self._title, self._start = title, time.monotonic()
        self.stage("", None)
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,  # which may be a file
        )
        self._live.start(refresh=True)

    def stage(self, title: str, percent: int | None) -> None:
        """Draw it from now on."""
        self._stage, self._percent = title, percent

    def note(self, text: str) -> None:
        """Print it above the live line."""
        print_prose(self._console, text, hang=2)

    def end(self, outcome: Outcome = "done") -> None:
        """Print the step with its mark and time, and draw nothing more."""
        if self._live is None:
            return
        live, self._live = self._live, None
        live.stop()
        took = duration(time.monotonic() - self._start)
        line = Text.assemble(MARKS[outcome], f" {self._title} ", (took, "dim"))
        if outcome != "done":
            line.append(f" {outcome}", MARKS[outcome].style)
        print_prose(self._console, line, hang=2)

    def _draw(self) -> Table:
        """One line; the clock is the step's and goes on whatever the bar says."""
        bar = self._console.width >= NARROW
        clock = elapsed(time.monotonic() - self._start)
        percent = "" if self._percent is None else f"{self._percent}%"
        room = self._console.width - len(clock) - 4 - (BAR + 1 if bar else 0)
        room -= len(percent) + 1 if percent else 0
        cells: list[RenderableType] = [self._spinner, _titled(self._title, self._stage, room)]
        if bar:
            total = None if self._percent is None else 100.0
            cells.append(ProgressBar(total, self._percent or 0, width=BAR))
        if percent:
            cells.append(Text(percent))
        line = Table.grid(padding=(0, 1))
        line.add_row(*cells, Text(clock, "progress.elapsed"))
        return line


def _titled(title: str, stage: str, room: int) -> Text:
    """A step and its stage in so many columns; the title is cut first."""
    line, rest = Text(title), Text(f": {stage}" if stage else "")
    short = max(room - rest.cell_len, room // TITLE) if stage else room
    line.truncate(max(1, short), overflow="ellipsis")
    line.append_text(rest)
    line.truncate(max(1, room), overflow="ellipsis")
    return line
