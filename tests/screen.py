"""A program on a pseudo-terminal, and the screen that its user sees."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import IO, TYPE_CHECKING, Any

import pyte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BOUND = 30.0  # seconds for anything to appear
OWN = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")  # of the terminal that runs the tests


class Terminal:
    """A child whose streams are a terminal of this size; `given` replaces some of them, or says
    how its process is made, as for Popen.

    With `beyond` the screen is wider than the child knows, so that a row over its width is seen.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 40,
        beyond: int = 0,
        environment: Mapping[str, str] | None = None,
        **given: int | IO[Any],
    ) -> None:
        self._screen = pyte.Screen(columns + beyond, rows)
        self._feed = pyte.ByteStream(self._screen)
        self.written = b""
        self._master, slave = pty.openpty()
        _set_size(slave, columns, rows)
        kept = {k: v for k, v in os.environ.items() if k not in OWN}
        variables = {**kept, "TERM": "xterm-256color", **(environment or {})}
        ends = {"stdin": slave, "stdout": slave, "stderr": slave}
        options: dict[str, Any] = {**ends, "start_new_session": True, **given}
        self.process = subprocess.Popen(argv, env=variables, **options)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._master >= 0:
            os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """The screen's lines, without the empty ones at its end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    @property
    def cursor_hidden(self) -> bool:
        """Whether the program has hidden the cursor."""
        return bool(self._screen.cursor.hidden)

    def close(self) -> None:
        """Close it, as its window is: the program gets SIGHUP, and writes to it fail."""
        os.close(self._master)
        self._master = -1

    def type(self, keys: str) -> None:
        """Type these keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, *, reflow: bool) -> None:
        """Change its width, as its user does; the program gets SIGWINCH.

        A terminal with `reflow` (VTE, kitty, iTerm2, tmux, Windows Terminal) breaks the rows that
        are too long and keeps the cursor on its character; another (xterm, Linux's console) cuts
        them off.
        """
        if reflow:
            _reflow(self._screen, columns)
        self._screen.resize(columns=columns)
        _set_size(self._master, columns, self._screen.lines)

    def until(self, seen: Callable[[list[str]], object]) -> list[str]:
        """The lines as soon as `seen` is true of them."""
        deadline = time.monotonic() + BOUND
        while not seen(self.lines):
            left = deadline - time.monotonic()
            shown = "\n".join(self.lines)
            assert left > 0, f"not within {BOUND:g} s on this screen:\n{shown}"
            assert self._read(left), f"the program ended on this screen:\n{shown}"
        return self.lines

    def ended(self) -> list[str]:
        """The lines when the program has ended."""
        deadline = time.monotonic() + BOUND
        while self._read(max(0.0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, "\n".join(self.lines)
        self.process.wait(BOUND)
        return self.lines

    def _read(self, seconds: float) -> bool:
        """Read what arrives within that time; False when the program has ended."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux gives EIO once the last holder of the other end is gone
            return False
        self.written += data
        self._feed.feed(data)
        return bool(data)


def _set_size(terminal: int, columns: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _reflow(screen: pyte.Screen, columns: int) -> None:
    """Break the rows that are longer than this, and scroll up what has no room."""
    rows: list[dict[int, pyte.screens.Char]] = []
    cursor = screen.cursor
    at = y = 0
    for number in range(screen.lines):
        row = screen.buffer[number]
        used = max((x + 1 for x, cell in row.items() if cell.data != " "), default=0)
        if number == cursor.y:
            at = len(rows) + cursor.x // columns
        rows += [
            {x - begin: row[x] for x in range(begin, min(begin + columns, used))}
            for begin in range(0, max(used, 1), columns)
        ]
    while len(rows) > screen.lines and not rows[-1]:
        rows.pop()
    y = max(0, len(rows) - screen.lines)
    screen.buffer.clear()
    for number, cells in enumerate(rows[y:]):
        screen.buffer[number].update(cells)
    cursor.x, cursor.y = cursor.x % columns, max(0, at - y)
    screen.dirty.update(range(screen.lines))
