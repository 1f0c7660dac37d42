"""The bytes of one SSH session: its three streams, moved in parallel and limited in size."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from sparkctl.remote.awake import Stopwatch
from sparkctl.remote.command import STARTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paramiko

CHUNK = 1 << 16
TICK = 1.0  # seconds between checks of the deadline
LINGER = 5.0  # seconds of silence after the command's end, for a child that keeps its streams open
KEPT = 1 << 16  # bytes kept of stderr's beginning, and as many of its end
GREETING_LIMIT = 1 << 20  # bytes that a login shell may print before the command starts
LINE_LIMIT = 1 << 20  # bytes of one line of a streamed command
STDERR_LIMIT = 8 << 20  # bytes of stderr, of which both ends are kept


class OutputTooLarge(Exception):
    """More than `limit` bytes came on `stream`; `started` if the command itself was running."""

    def __init__(self, limit: int, *, started: bool, stream: str = "stdout") -> None:
        super().__init__()
        self.limit, self.started, self.stream = limit, started, stream


class StartTimeout(Exception):
    """The login shell did not start the command in time."""


class StdoutReader:
    """Drops what the login shell printed on stdout before the command started.

    `on_start` is called when it starts. Raises StartTimeout after `within` seconds.
    """

    def __init__(self, within: float, on_start: Callable[[], None]) -> None:
        self.started = False
        self._within = within
        self._watch = Stopwatch()
        self._on_start = on_start
        self._greeting = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The part of these bytes that the command printed."""
        if self.started:
            return data
        searched = max(0, len(self._greeting) - len(STARTED))
        self._greeting += data
        at = self._greeting.find(STARTED, searched)
        if at >= 0:
            self.started = True
            self._on_start()
            rest = bytes(self._greeting[at + len(STARTED) :])
            self._greeting.clear()
            return rest
        if len(self._greeting) > GREETING_LIMIT:
            raise OutputTooLarge(GREETING_LIMIT, started=False)
        self.check_start()
        return b""

    def check_start(self) -> None:
        """Raises StartTimeout; called whenever the command printed nothing."""
        if not self.started and self._watch.awake() > self._within:
            raise StartTimeout

    def rest(self) -> bytes:
        """At the end of the stream: the login shell's output, if no command started."""
        return bytes(self._greeting)


class StderrEnds:
    """The beginning and the end of a stream of any length."""

    def __init__(self) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._left_out = 0
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        room = KEPT - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        if (excess := len(self._tail) - KEPT) > 0:
            self._left_out += excess
            del self._tail[:excess]

    def check_size(self, *, started: bool) -> None:
        """Raises OutputTooLarge above STDERR_LIMIT; `feed` does not: it is called in a thread."""
        if self._size > STDERR_LIMIT:
            raise OutputTooLarge(STDERR_LIMIT, started=started, stream="stderr")

    def value(self) -> bytes:
        """All of it, or both ends with a line between them that has the number of bytes dropped."""
        between = f"\n[{self._left_out} bytes left out]\n".encode() if self._left_out else b""
        return bytes(self._head) + between + bytes(self._tail)


def exchange(
    channel: paramiko.Channel,
    stdin: bytes,
    reader: StdoutReader,
    left: Callable[[], float],
    limit: int,
) -> tuple[bytes, bytes]:
    """Write stdin and its end, and return stdout and stderr, read in parallel.

    paramiko hangs when the window of one stream is full and nobody reads it (5.1, run). Returns
    what was read while seconds are `left`. Raises OutputTooLarge above `limit` bytes of
    stdout or STDERR_LIMIT of stderr, and StartTimeout.
    """
    channel.settimeout(TICK)
    errors = StderrEnds()

    def write() -> None:
        sent = 0
        with contextlib.suppress(OSError):  # it ended before it read all: the status shows why
            while sent < len(stdin) and left() > 0:
                with contextlib.suppress(TimeoutError):
                    sent += channel.send(stdin[sent : sent + CHUNK])
            channel.shutdown_write()

    def read_errors() -> None:
        with contextlib.suppress(OSError, EOFError):  # reading stdout fails alike
            for data in _received(channel, channel.recv_stderr, left):
                errors.feed(data)

    threads = [threading.Thread(target=t, daemon=True) for t in (write, read_errors)]
    for thread in threads:
        thread.start()
    out = bytearray()
    for data in _received(channel, channel.recv, left):
        out += reader.feed(data) if data else b""
        reader.check_start()
        errors.check_size(started=reader.started)
        if len(out) > limit:
            raise OutputTooLarge(limit, started=True)
    while threads[1].is_alive() and left() > -TICK:
        threads[1].join(TICK)
        errors.check_size(started=reader.started)
    errors.check_size(started=reader.started)
    return bytes(out) if reader.started else reader.rest(), errors.value()


def _received(
    channel: paramiko.Channel, receive: Callable[[int], bytes], left: Callable[[], float]
) -> Iterator[bytes]:
    """The bytes received, to the end of the stream; empty ones after each silent TICK."""
    last = time.monotonic()
    while left() > 0:
        now = time.monotonic()
        try:
            data = receive(CHUNK)
        except TimeoutError:
            if channel.exit_status_ready() and now - last > LINGER:
                return
            yield b""
            continue
        if not data:
            return
        yield data
        last = now


def lines(
    channel: paramiko.Channel, timeout: float, reader: StdoutReader, errors: StderrEnds
) -> Iterator[list[str | None]]:
    """stdout's lines to its end, in batches as they arrive; [None] after each silent `timeout` (s).

    stderr is read into `errors` in parallel. Raises OutputTooLarge at a line above LINE_LIMIT or
    above STDERR_LIMIT of stderr, and StartTimeout.
    """

    def read_errors() -> None:
        data = b"-"
        with contextlib.suppress(OSError, EOFError):  # reading stdout fails alike
            while data:
                with contextlib.suppress(TimeoutError):
                    data = channel.recv_stderr(CHUNK)
                    errors.feed(data)

    channel.settimeout(timeout)
    thread = threading.Thread(target=read_errors, daemon=True)
    thread.start()
    rest = b""
    while True:
        try:
            data = channel.recv(CHUNK)
        except TimeoutError:
            reader.check_start()
            errors.check_size(started=reader.started)
            yield [None]
            continue
        errors.check_size(started=reader.started)
        if not data:
            break
        *complete, rest = (rest + reader.feed(data)).split(b"\n")
        if len(rest) > LINE_LIMIT:
            raise OutputTooLarge(LINE_LIMIT, started=True)
        yield [line.decode(errors="replace") for line in complete]
    thread.join(TICK)
    errors.check_size(started=reader.started)
    rest = rest or reader.rest()
    if rest and channel.eof_received:  # without it the connection was lost within a line
        yield [rest.decode(errors="replace")]
