"""How a finding looks on a terminal, whoever found it: a headline, evidence, a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from sparkctl.doctor.finding import Severity
from sparkctl.output.console import broken
from sparkctl.output.shellcommand import continued

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

STYLES = {
    Severity.CRASH: "bold magenta",
    Severity.FAIL: "bold red",
    Severity.WARN: "yellow",
    Severity.UNKNOWN: "cyan",
    Severity.INFO: "blue",
    Severity.OK: "green",
}
INDENT = 8  # columns for the severity, which all else stands behind
HANG = 2  # more, before a detail's second line
COMMAND = 12  # columns before a command: it is no second line
NAMED = 4  # checks or hosts that a headline names, and does not count


def print_headline(console: Console, severity: Severity, place: str, summary: str) -> None:
    """Print `FAIL    fabric.mtu spark-1: what is wrong`; the place is a check and its node."""
    head = Text(f"{severity.value:<{INDENT}}", STYLES[severity])
    head.append(place, "bold").append(f": {summary}", "not bold default")
    _print(console, head, INDENT)


def print_detail(console: Console, text: str, style: str = "") -> None:
    """Print more about a finding, such as its evidence."""
    for line in text.split("\n"):
        _print(console, Text(" " * INDENT + line, style), INDENT + HANG)


def print_fix(console: Console, text: str, commands: Iterable[str]) -> None:
    """Print a remedy, and its commands on lines of their own, as a shell takes them."""
    print_detail(console, f"fix: {text}")
    for command in commands:
        whole = command.split("\n")
        lines = continued(command, console.width - COMMAND) if console.is_terminal else whole
        for line in lines:
            console.print(Text(" " * COMMAND + line), soft_wrap=True)


def _print(console: Console, text: Text, hang: int) -> None:
    """Print prose; a word that does not fit behind its indent gives up of that what it has to."""
    lines = broken(text, console.width, hang) if console.is_terminal else [text]
    for line in lines:
        over = cell_len(line.plain) - console.width if console.is_terminal else 0
        indent = cell_len(line.plain) - cell_len(line.plain.lstrip(" "))
        console.print(line[max(0, min(over, indent)) :], soft_wrap=True)
