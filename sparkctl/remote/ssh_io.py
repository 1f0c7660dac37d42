"""The bytes of one channel: three streams moved at once, none waiting for another, all bounded."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from sparkctl.remote.command import STARTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import paramiko

CHUNK = 1 << 16
TICK = 1.0  # seconds between looks at the deadline
LINGER = 5.0  # seconds of silence after the command's end, for a child that keeps its streams open
ENDS = 1 << 16  # bytes kept of stderr's beginning, and as many of its end
GREETING = 1 << 20  # bytes that a login shell may print before the command starts
LINE = 1 << 20  # bytes of one line of a followed command
ERRORS = 8 << 20  # bytes of stderr, of which both ends are kept


class TooMuch(Exception):
    """More came on `stream` than was allowed: `allowed` bytes; `started` once the command itself
    runs.
    """

    def __init__(self, allowed: int, *, started: bool, stream: str = "stdout") -> None:
        super().__init__()
        self.allowed, self.started, self.stream = allowed, started, stream


class NotStarted(Exception):
    """The login shell did not start the command in time."""


class Output:
    """Takes a channel's stdout: drops what the login shell printed before the command started.

    `on_start` is called when it starts. Raises NotStarted after `start_by` (a time.monotonic()).
    """

    def __init__(self, start_by: float, on_start: Callable[[], None]) -> None:
        self.started = False
        self._start_by = start_by
        self._on_start = on_start
        self._greeting = bytearray()

    def feed(self, data: bytes) -> bytes:
        """The command's part of what came."""
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
        if len(self._greeting) > GREETING:
            raise TooMuch(GREETING, started=False)
        self.wait()
        return b""

    def wait(self) -> None:
        """Nothing came, or nothing of the command."""
        if not self.started and time.monotonic() > self._start_by:
            raise NotStarted

    def rest(self) -> bytes:
        """At the end: what came instead, where no command started."""
        return bytes(self._greeting)


class Ends:
    """The beginning and the end of a stream of any length."""

    def __init__(self) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._left_out = 0
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._size += len(data)
        room = ENDS - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        if (excess := len(self._tail) - ENDS) > 0:
            self._left_out += excess
            del self._tail[:excess]

    def check(self, *, started: bool) -> None:
        """Raises TooMuch after ERRORS bytes; `feed` does not: it is called in a thread."""
        if self._size > ERRORS:
            raise TooMuch(ERRORS, started=started, stream="stderr")

    def value(self) -> bytes:
        """All of it, or both ends with a line between them that says how much is left out."""
        between = f"\n[{self._left_out} bytes left out]\n".encode() if self._left_out else b""
        return bytes(self._head) + between + bytes(self._tail)


def exchange(
    channel: paramiko.Channel, stdin: bytes, output: Output, deadline: float, limit: int
) -> tuple[bytes, bytes]:
    """Write stdin, then its end, and read both streams to theirs (design.md, Paramiko).

    `deadline` is a time.monotonic(); what was read by then is given. Raises TooMuch after `limit`
    bytes of stdout or ERRORS of stderr, NotStarted.
    """
    channel.settimeout(TICK)
    errors = Ends()

    def write() -> None:
        sent = 0
        with contextlib.suppress(OSError):  # ended without reading all of it: its status tells
            while sent < len(stdin) and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    sent += channel.send(stdin[sent : sent + CHUNK])
            channel.shutdown_write()

    def read_errors() -> None:
        for data in _pieces(channel, channel.recv_stderr, deadline):
            errors.feed(data)

    threads = [threading.Thread(target=t, daemon=True) for t in (write, read_errors)]
    for thread in threads:
        thread.start()
    out = bytearray()
    for data in _pieces(channel, channel.recv, deadline):
        out += output.feed(data) if data else b""
        output.wait()
        errors.check(started=output.started)
        if len(out) > limit:
            raise TooMuch(limit, started=True)
    while threads[1].is_alive() and time.monotonic() < deadline + TICK:
        threads[1].join(TICK)
        errors.check(started=output.started)
    errors.check(started=output.started)
    return bytes(out) if output.started else output.rest(), errors.value()


def _pieces(
    channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float
) -> Iterator[bytes]:
    """What is received to the end of the stream; an empty piece for each silent tick."""
    heard = time.monotonic()
    while (now := time.monotonic()) < deadline:
        try:
            data = receive(CHUNK)
        except TimeoutError:
            if channel.exit_status_ready() and now - heard > LINGER:
                return
            yield b""
            continue
        if not data:
            return
        yield data
        heard = now


def lines(
    channel: paramiko.Channel, timeout: float, output: Output, errors: Ends
) -> Iterator[list[str | None]]:
    """stdout's lines to its end, those that came together at once.

    [None] stands for each silent `timeout` (seconds). `errors` gets stderr, which is drained
    beside. Raises TooMuch at a line without an end or after ERRORS bytes of stderr, NotStarted.
    """

    def read_errors() -> None:
        data = b"-"
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
            output.wait()
            errors.check(started=output.started)
            yield [None]
            continue
        errors.check(started=output.started)
        if not data:
            break
        *complete, rest = (rest + output.feed(data)).split(b"\n")
        if len(rest) > LINE:
            raise TooMuch(LINE, started=True)
        yield [line.decode(errors="replace") for line in complete]
    thread.join(TICK)
    errors.check(started=output.started)
    rest = rest or output.rest()
    if rest:
        yield [rest.decode(errors="replace")]
