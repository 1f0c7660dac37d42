"""The bytes of one channel: three streams moved at once, none waiting for another."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import paramiko

CHUNK = 1 << 16
TICK = 1.0  # seconds between looks at the deadline
LINGER = 5.0  # seconds of silence after the command's end, for a child that keeps its streams open
TAIL = 4096  # bytes kept of a followed command's stderr


def exchange(channel: paramiko.Channel, stdin: bytes, deadline: float) -> tuple[bytes, bytes]:
    """Write stdin, then its end, and read both streams to theirs (design.md, Paramiko).

    `deadline` is a time.monotonic(); what was read by then is given.
    """
    channel.settimeout(TICK)
    out, err = bytearray(), bytearray()

    def write() -> None:
        sent = 0
        with contextlib.suppress(OSError):  # ended without reading all of it: its status tells
            while sent < len(stdin) and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    sent += channel.send(stdin[sent : sent + CHUNK])
            channel.shutdown_write()

    def read_errors() -> None:
        _read(channel, channel.recv_stderr, err, deadline)

    threads = [threading.Thread(target=t, daemon=True) for t in (write, read_errors)]
    for thread in threads:
        thread.start()
    _read(channel, channel.recv, out, deadline)
    threads[1].join(max(0.0, deadline - time.monotonic()) + TICK)
    return bytes(out), bytes(err)


def _read(
    channel: paramiko.Channel, receive: Callable[[int], bytes], into: bytearray, deadline: float
) -> None:
    heard = time.monotonic()
    while (now := time.monotonic()) < deadline:
        try:
            data = receive(CHUNK)
        except TimeoutError:
            if channel.exit_status_ready() and now - heard > LINGER:
                return
            continue
        if not data:
            return
        into += data
        heard = now


def lines(
    channel: paramiko.Channel, timeout: float, errors: bytearray
) -> Iterator[list[str | None]]:
    """stdout's lines to its end, those that came together at once.

    [None] stands for each silent `timeout` (seconds). `errors` gets the last bytes of stderr,
    which is drained beside.
    """

    def read_errors() -> None:
        data = b"-"
        while data:
            with contextlib.suppress(TimeoutError):
                data = channel.recv_stderr(CHUNK)
                errors[:] = (errors + data)[-TAIL:]

    channel.settimeout(timeout)
    thread = threading.Thread(target=read_errors, daemon=True)
    thread.start()
    rest = b""
    while True:
        try:
            data = channel.recv(CHUNK)
        except TimeoutError:
            yield [None]
            continue
        if not data:
            break
        *complete, rest = (rest + data).split(b"\n")
        yield [line.decode(errors="replace") for line in complete]
    thread.join(TICK)
    if rest:
        yield [rest.decode(errors="replace")]
