"""The terminal, or plain text that nothing cuts where stdout is none."""

from __future__ import annotations

from rich.console import Console


def wide_console() -> Console:
    """A console on stdout; without a terminal wide enough for a table's row."""
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        return console
    return Console(highlight=False, soft_wrap=True, width=200)
