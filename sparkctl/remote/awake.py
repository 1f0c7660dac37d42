"""Time as seen by a computer that may be suspended.

time.monotonic() does not count a suspend on Linux and macOS (clock_gettime(2)), but it goes on
while a process is stopped. What this process could not wait for is no time-out of a node.
"""

from __future__ import annotations

import threading
import time

GAP = 3.0  # seconds between two readings, of which more was not spent awake
# Counts suspends: on Linux CLOCK_BOOTTIME, on macOS CLOCK_MONOTONIC (its manual page).
_WHOLE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Stopwatch:
    """The seconds since its creation; it has to be read every `gap` seconds."""

    def __init__(self, gap: float = GAP) -> None:
        self._gap = gap
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._began = time.clock_gettime(_WHOLE)
        self._awake = 0.0

    def awake(self) -> float:
        """The seconds in which this process ran: at most `gap` between two readings."""
        with self._lock:
            now = time.monotonic()
            self._awake += min(now - self._last, self._gap)
            self._last = now
            return self._awake

    def whole(self) -> float:
        """All seconds, with those in which the computer was suspended."""
        return time.clock_gettime(_WHOLE) - self._began
