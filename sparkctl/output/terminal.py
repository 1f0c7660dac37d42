"""The terminal of stderr and stdout; needs no rich, whose import is slow."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

USUAL = 80  # columns of a terminal that reports none


def live_stderr() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and _redraws()


def live_stdout() -> bool:
    """The same of stdout."""
    return sys.stdout.isatty() and _redraws()


def _redraws() -> bool:
    return os.environ.get("TERM") not in ("dumb", "unknown")


def columns(stream: TextIO) -> int | None:
    """How many columns the terminal of this stream has now; None where it is none."""
    if not stream.isatty():
        return None
    with suppress(OSError):
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    return USUAL


def stderr_columns() -> int:
    """How many columns that terminal has now. Raises OSError where there is none."""
    return os.get_terminal_size(sys.stderr.fileno()).columns or USUAL
