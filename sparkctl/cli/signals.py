"""The signals that end a command."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from sparkctl.errors import SparkctlError, Terminated
from sparkctl.interrupt import Deferred, Postponed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SOON = 0.01  # seconds
# Any other error that follows KeyboardInterrupt was made of it, as by marshal: "unmarshallable".
EXPECTED = (SparkctlError, OSError, click.ClickException, click.exceptions.Exit, click.Abort)
IMPORTS = ("importlib._bootstrap", "_frozen_importlib")  # its name before and after its import


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
    interrupt = _Interrupt()
    signal.signal(signal.SIGALRM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    try:
        if deferred.pending:
            raise KeyboardInterrupt
        yield
    except Exception as error:
        if interrupt.raised and not isinstance(error, EXPECTED):
            raise KeyboardInterrupt from error
        raise
    finally:
        deferred.pending = Postponed.here = False
        signal.signal(signal.SIGINT, deferred)
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Interrupt:
    """A handler that raises KeyboardInterrupt, not within an import or pydantic: then soon after.

    pydantic's core takes an exception there for an answer of its own, or crashes (measured), and a
    module that is imported in part would break what cleans up. A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        self.raised = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM and not Postponed.here:
            return
        again = number == signal.SIGINT and Postponed.here
        Postponed.here = not again and _fragile(frame)
        if not Postponed.here:
            self.raised = True
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, SOON)


def _fragile(frame: FrameType | None) -> bool:
    """Whether an import or pydantic has called this frame."""
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name in IMPORTS or name.partition(".")[0] == "pydantic":
            return True
        frame = frame.f_back
    return False


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
