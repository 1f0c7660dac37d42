"""Ctrl-C before the command begins, after it has ended, and where it would break something.

Imports nothing, so that it is early.
"""

from __future__ import annotations

# signal.py makes enums for some milliseconds, in which Ctrl-C would end in a traceback.
_signal = __import__("_signal")


class Deferred:
    """A handler that remembers the first Ctrl-C, and ends the process at the second."""

    def __init__(self) -> None:
        self.pending = False

    def __call__(self, _number: int, _frame: object) -> None:
        """Handle SIGINT."""
        if self.pending:
            import os

            try:
                os.write(2, b"interrupted\n")
            finally:
                os._exit(130)
        self.pending = True


def defer() -> None:
    """Defer Ctrl-C from now on; one that is ignored, as by nohup, stays so."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, Deferred())


class Postponed:
    """A Ctrl-C that came where an exception would break something, until it is raised."""

    here = False

    @classmethod
    def check(cls) -> None:
        """Raise it as KeyboardInterrupt, in the main thread alone."""
        if cls.here:
            import threading

            if threading.current_thread() is threading.main_thread():
                cls.here = False
                raise KeyboardInterrupt
