"""What a command waits for: one line on a terminal's stderr, erased before other output."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from sparkctl.output.clean import raw
from sparkctl.output.spans import elapsed
from sparkctl.output.terminal import live_stderr, stderr_columns
from sparkctl.text import clean

PATIENCE = 1.0  # seconds: what is faster shows nothing
EVERY = 0.25  # seconds between two looks
CLEAR = "\r\x1b[K"  # to the line's begin, then erase to its end (ECMA-48)

Waits = Iterable[tuple[str, str]]  # what is waited for, and on which node


class WaitLine:
    """A line such as `connecting: spark-2 (4 s)` from `watch` until `stop` or the block's end."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> WaitLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def watch(self, waits: Callable[[], Waits]) -> None:
        """Show what `waits` gives, as it changes; nothing unless stderr is a terminal."""
        # With --debug stderr is a log, which a redrawn line would tear.
        if live_stderr() and not logging.getLogger().isEnabledFor(logging.DEBUG):
            self._thread = threading.Thread(target=self._show, args=(waits,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Erase the line for good."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def _show(self, waits: Callable[[], Waits]) -> None:
        start = time.monotonic()
        pause = PATIENCE
        with suppress(OSError, ValueError):  # a broken pipe, or stderr is closed
            while not self._over.wait(pause):
                pause = EVERY
                text = fitted(described(waits()), time.monotonic() - start, stderr_columns())
                print(CLEAR + clean(text), end="", file=raw(sys.stderr), flush=True)
            if pause == EVERY:  # something was drawn
                print(CLEAR, end="", file=raw(sys.stderr), flush=True)


def described(waits: Waits) -> str:
    """Such as `connecting: spark-2; importing torch: spark-1, spark-3`.

    `working` when no node is waited for.
    """
    nodes: dict[str, list[str]] = {}
    for what, node in waits:
        nodes.setdefault(what, []).append(node)
    parts = [f"{what}: {', '.join(dict.fromkeys(names))}" for what, names in nodes.items()]
    return "; ".join(parts) or "working"


def fitted(text: str, seconds: float, columns: int) -> str:
    """The text and the time in one line, short of the last column, where terminals wrap."""
    time_shown = f" ({elapsed(seconds)})"
    room = max(1, columns - 1 - len(time_shown))
    return (text if len(text) <= room else f"{text[: room - 1]}…") + time_shown
