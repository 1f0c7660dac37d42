"""Whether somebody can be asked."""

from __future__ import annotations

import sys


def interactive() -> bool:
    """Whether stdin is a terminal; Python has None for one that is closed."""
    return sys.stdin is not None and sys.stdin.isatty()
