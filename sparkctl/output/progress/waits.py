"""What a command waits for: a row a node on a terminal's stderr, erased before other output."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from sparkctl.output.terminal import live_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.text import Text

    from sparkctl.events import Wait
    from sparkctl.output.progress.area import LiveArea

PATIENCE = 1.0  # seconds: a command that is faster shows nothing


class WaitRows:
    """Rows such as `  spark-2  connecting  4 s` from `watch` until `stop` or the block's end."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = now()
        self._waits: Callable[[], Sequence[Wait]] = list
        self._area: LiveArea | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> WaitRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, waits: Callable[[], Sequence[Wait]]) -> None:
        """Show what `waits` gives, as it changes; nothing unless stderr is a terminal."""
        # With --debug stderr is a log, which redrawn rows would tear.
        if live_stderr() and not logging.getLogger().isEnabledFor(logging.DEBUG):
            self._waits, self._start = waits, self._now()
            self._thread = threading.Thread(target=self._begin, daemon=True)
            self._thread.start()

    def _begin(self) -> None:
        if self._over.wait(PATIENCE):  # so that a fast command does not import rich for it
            return
        from sparkctl.output.progress.area import LiveArea

        self._area = LiveArea(self.rows)
        self._area.start()

    def stop(self) -> None:
        """Erase the rows for good."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._area is not None:
            self._area.stop()

    def rows(self, width: int) -> list[Text]:
        """What is drawn now; `working` where no node is waited for longer than a moment."""
        from sparkctl.output.progress.rows import Clocked, named_rows, waited

        now = self._now()
        found = waited(self._waits(), now) or [("working", Clocked(self._start))]
        return named_rows(found, now, width)
