"""`status --watch`: redrawn in place on a terminal, appended elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.output.console import broken
from sparkctl.output.progress.area import LiveArea
from sparkctl.output.progress.rows import named_rows, waited
from sparkctl.output.status import HANG, print_status, rows
from sparkctl.output.stdio import print_out
from sparkctl.output.terminal import live_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from sparkctl.operations.status import Status
    from sparkctl.operations.watch import Watch

LATE = 2.0  # seconds after which a look says what it waits for


def show(watch: Watch, interval: float, *, wide: bool = False) -> NoReturn:
    """Show what `watch` sees, with `interval` seconds between two looks, until Ctrl-C.

    The last screen stays. Raises what a look raises.
    """
    if not live_stdout():
        while True:
            found = watch.look()
            print_out(time.strftime("%Y-%m-%d %H:%M:%S %z"))
            print_status(found, wide=wide)
            print_out("")
            watch.wait(interval)
    screen = _Screen(watch, interval, wide=wide)
    area = LiveArea(lambda width: list(screen.rows(width)), stderr=False)
    area.start()
    try:
        while True:
            screen.look()
            watch.wait(interval)
    finally:
        area.stop(keep=True)


class _Screen:
    """The last status, and how old it is; drawn while the next look waits for a slow node."""

    def __init__(self, watch: Watch, interval: float, *, wide: bool) -> None:
        self._watch = watch
        self._interval = interval
        self._wide = wide
        self._status: Status | None = None
        self._began = time.monotonic()
        self._looks = False

    def look(self) -> None:
        """Look once."""
        self._began, self._looks = time.monotonic(), True
        self._status = self._watch.look()
        self._looks = False

    def rows(self, width: int) -> Iterator[Text]:
        """A line of what is done now, and the status."""
        now = time.monotonic()
        late = self._looks and now - self._began > LATE
        if waits := waited(self._watch.waiting(), now) if late else []:
            yield from named_rows(waits, now, width)
        else:
            line = Text(f"every {self._interval:g} s, until Ctrl-C", "dim")
            yield from broken(line, width, HANG)
        if self._status:
            yield from rows(self._status, time.time(), width, wide=self._wide)
