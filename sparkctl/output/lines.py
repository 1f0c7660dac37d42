"""Lines on stdout and stderr, each written at once, without the time that importing rich takes."""

from __future__ import annotations

import sys


def print_out(text: str) -> None:
    """Print a line on stdout."""
    print(text, flush=True)


def print_err(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)
