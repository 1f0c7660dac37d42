"""The lines of a log in which the root cause of a failure may be, wherever they are in it."""

from __future__ import annotations

import re
from collections import deque

from sparkctl.node import logs

# Each error of a log has one of these in its line or in one nearby.
ERRORS = (
    b"ERROR",
    b"rror",
    b"xception",
    b"raceback",
    b"Version mismatch",
    b"died",
    b"illed",
    b"atal",
    b"fault",
    b"SIG",
    b"borted",
    b"dumped",
    b"terminate called",
    b"exit code",
    b"exit_code",
    b"free(): ",
    b"malloc(): ",
    b"corruption",
    b"nterrupt",
    b"llegal instruction",
    b"memory pressure",
    b"low on memory",
    b"failed to start",
    b"less than desired",
    b"No available memory",
    b"To serve at least one",
)
START = logs.HEADER.encode()
READY = b"Application startup complete."
STALL = b"No available shared memory broadcast"
TOKENS = b"Avg generation throughput: "
STOPS = b"Shutting down"
# What changes the state of a vLLM that was started.
PROGRESS = (
    START,
    READY,
    STALL,
    TOKENS,
    STOPS,
    b"non-default args:",
    b"vLLM API server version",
)
# In one line these are found fastest together, in many lines one after the other.
ERROR = re.compile(b"|".join(map(re.escape, ERRORS)))
STEP = re.compile(b"|".join(map(re.escape, PROGRESS)))
AROUND = 100  # lines after one of ERRORS that are taken too: a traceback, and what follows it
FIRST, LAST = 2500, 2500  # lines that are kept since the start, or since vLLM was ready
TAIL = 400  # lines of any kind
STEPS = 64  # of stalls, of tokens, which end them, and of an end that was asked for
MOST_BYTES = 2048  # of a line

Numbered = tuple[int, bytes]


class ErrorLines:
    """Keeps the first and the last lines around errors, the last ones that show whether the engine
    hangs, and a log's last ones.
    """

    def __init__(self) -> None:
        self._first: list[Numbered] = []
        self._last: deque[Numbered] = deque(maxlen=LAST)
        self._tail: deque[Numbered] = deque(maxlen=TAIL)
        self._steps: deque[Numbered] = deque(maxlen=STEPS)
        self._around = 0  # lines left to take

    def take(self, number: int, line: bytes) -> None:
        """Take the next line; vLLM's start, and that it is ready, make what was before obsolete."""
        if line.startswith(START) or READY in line:
            self._first, self._around = [(number, line[:MOST_BYTES])], 0
            self._last.clear()
            self._steps.clear()
        if line.startswith(START):
            self._tail.clear()
            return
        self._tail.append((number, line[-MOST_BYTES:]))
        if STALL in line or TOKENS in line or STOPS in line:
            self._steps.append((number, line[:MOST_BYTES]))
        if ERROR.search(line):
            self._around = AROUND
        if self._around:
            self._around -= 1
            kept = self._first if len(self._first) < FIRST else self._last
            kept.append((number, line[:MOST_BYTES]))

    def rows(self) -> list[tuple[int, str]]:
        """The lines with their numbers, in their order."""
        found = dict([*self._tail, *self._steps, *self._first, *self._last])
        return [
            (number, found[number].decode(errors="replace").rstrip("\r\n"))
            for number in sorted(found)
        ]

    def tail(self) -> list[str]:
        """The last lines."""
        return [line.decode(errors="replace").rstrip("\r\n") for _, line in self._tail]
