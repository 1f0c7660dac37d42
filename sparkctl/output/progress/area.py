"""Rows at the end of a terminal that are drawn again and again, whatever its size becomes."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from rich.text import Text

from sparkctl.output.console import console, print_prose
from sparkctl.output.terminal import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from rich.console import Console

    Rows = Callable[[int], Sequence[Text]]  # columns to rows, each at most so wide

EVERY = 0.1  # seconds between two drawings
# ECMA-48: to the row's begin, and all from there to the screen's end erased.
ERASE = "\r\x1b[J"
# DEC's modes 25 and 7: the cursor, and the wrapping of rows that the terminal has become too narrow
# for since they were made.
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
CUT, WRAP = "\x1b[?7l", "\x1b[?7h"

log = logging.getLogger(__name__)


class LiveArea:
    """Rows that a thread draws from `start` to `stop`; they go on while the caller is blocked.

    The cursor rests at the begin of the first row. A terminal that is resized keeps it on that
    character, whether it breaks long rows or cuts them off, so that erasing from there leaves
    nothing of them, and takes nothing of what is above.
    """

    def __init__(self, rows: Rows, *, stderr: bool = True) -> None:
        self._rows = rows
        self._console: Console = console(stderr=stderr)
        self._stream: IO[str] = self._console.file
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._catches = False  # whether Ctrl-Z comes here

    def start(self) -> None:
        """Draw the rows from now on."""
        if threading.current_thread() is threading.main_thread():
            self._catches = signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL
        if self._catches:
            signal.signal(signal.SIGTSTP, self._suspend)
        self._thread.start()

    def stop(self, *, keep: bool = False) -> None:
        """Erase the rows, or `keep` them as they are now; the cursor is below them."""
        self._over.set()
        self._thread.join()
        if self._catches:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        with self._lock, suppress(OSError):
            kept = "".join(f"{row}\n" for row in self._frame()) if keep else ""
            self._write(ERASE + kept + SHOW)

    def print(self, text: Text | str, hang: int = 2) -> None:
        """Print prose above the rows, where it stays. Raises OSError where the terminal is gone."""
        with self._lock:
            frame = self._drawn()
            with self._console.capture() as captured:
                print_prose(self._console, text, hang)
            self._write(ERASE + captured.get() + frame)

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    self._write(ERASE + self._drawn())
                if self._over.wait(EVERY):
                    return
        except Exception:
            log.debug("the progress is not drawn any more", exc_info=True)

    def _drawn(self) -> str:
        rows = self._frame()
        up = f"\x1b[{len(rows) - 1}A" if rows[1:] else ""
        hide = HIDE if self._catches else ""  # else nobody would show it again on Ctrl-Z
        return f"{hide}{CUT}" + "\n".join(rows) + f"{WRAP}{up}\r"

    def _frame(self) -> list[str]:
        """The rows that the terminal has room for now, in its colours."""
        columns, lines = os.get_terminal_size(self._stream.fileno())
        self._console.width = columns or USUAL
        rows = list(self._rows(self._console.width))
        if len(rows) > (room := max(1, (lines or len(rows)) - 1)):
            left = Text(f"… {len(rows) - room + 1} more rows", "dim")
            rows = [*rows[: room - 1], left]
        with self._console.capture() as captured:
            for row in rows:
                self._console.print(row, soft_wrap=True)
        return captured.get().split("\n")[:-1]

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its cursor back."""
        with suppress(OSError):
            os.write(self._stream.fileno(), (ERASE + SHOW).encode())
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspend)
