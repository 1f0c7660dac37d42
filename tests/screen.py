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


class Terminal:
    """A child whose streams are a terminal of this size; `streams` replaces some of them."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 40,
        environment: Mapping[str, str] | None = None,
        **streams: int | IO[Any],
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._feed = pyte.ByteStream(self._screen)
        self.written = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        given = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            given.pop(name, None)
        ends: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave, **streams}
        self.process = subprocess.Popen(argv, env=given, start_new_session=True, **ends)
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

    def close(self) -> None:
        """Close it, as its window is: the program gets SIGHUP, and writes to it fail."""
        os.close(self._master)
        self._master = -1

    def type(self, keys: str) -> None:
        """Type these keys."""
        os.write(self._master, keys.encode())

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
