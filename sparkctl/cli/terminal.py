"""Questions on a terminal: the only prompts of sparkctl."""

from __future__ import annotations

import sys

import click

from sparkctl.output.stdio import print_err


def interactive() -> bool:
    """Whether stdin is a terminal; Python has None for one that is closed."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirm(question: str) -> bool:
    """Ask on stderr; no by default. Raises click.Abort on Ctrl-C."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        print_err("")  # what comes next would be behind the question
        raise
