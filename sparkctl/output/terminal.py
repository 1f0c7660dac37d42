"""The terminal of stderr and stdout; needs no rich, whose import is slow."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

USUAL = 80  # columns of a terminal that reports none
# What is drawn, in ASCII; each in one column, as before.
DRAWN = str.maketrans(
    "\u2713\u2717\u2501\u2500\u2502\u2026"
    "\u280b\u2819\u2839\u2838\u283c\u2834\u2826\u2827\u2807\u280f",
    r"+x=-|~" r"|/-\|/-\|/",
)


def lacks(stream: TextIO) -> bool:
    """Whether it is a terminal whose encoding lacks most characters, as ASCII does."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return stream.isatty() and not encoding.lower().replace("-", "").startswith("utf")


def drawn(text: str) -> str:
    """The text with what is drawn in ASCII; the stream escapes what else it lacks."""
    return text.translate(DRAWN)


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
