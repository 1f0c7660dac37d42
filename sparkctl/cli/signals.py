"""The signals that end a command."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkctl.errors import Terminated
from sparkctl.interrupt import Deferred

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def raising() -> Iterator[None]:
    """Within it Ctrl-C raises KeyboardInterrupt, also one that was deferred; SIGTERM and a closed
    terminal (SIGHUP) raise Terminated. nohup's ignored HUP stays so.
    """
    deferred = signal.getsignal(signal.SIGINT)
    _terminate()
    if not isinstance(deferred, Deferred):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if deferred.pending:
            raise KeyboardInterrupt
        yield
    finally:
        deferred.pending = False
        signal.signal(signal.SIGINT, deferred)


def discard(*streams: int) -> None:
    """Send what is written to these file descriptors from now on to os.devnull."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _terminate() -> None:
    def interrupt(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:  # from now on each write to the terminal fails
            discard(*terminals)
        raise Terminated

    terminals = [stream for stream in (1, 2) if os.isatty(stream)]
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)
