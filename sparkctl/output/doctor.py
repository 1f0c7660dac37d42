"""Findings on a terminal: failures first, what passed is counted, the rest grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.doctor.finding import ORDER, Severity
from sparkctl.doctor.runner import counts
from sparkctl.node.units import STARTING
from sparkctl.output.console import print_prose, wide_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from sparkctl.doctor.finding import Evidence, Finding

STYLES = {
    Severity.CRASH: "bold magenta",
    Severity.FAIL: "bold red",
    Severity.WARN: "yellow",
    Severity.UNKNOWN: "cyan",
    Severity.INFO: "blue",
    Severity.OK: "green",
}


NAMED = 4  # checks with one reason that are listed, and not counted
# What a count is called.
COUNTED = {
    Severity.CRASH: "crashed",
    Severity.FAIL: "failed",
    Severity.WARN: "warnings",
    Severity.UNKNOWN: "unknown",
    Severity.INFO: "info",
    Severity.OK: "passed",
}


def print_findings(
    findings: Sequence[Finding], imitated: Sequence[str], *, verbose: bool = False
) -> None:
    """Print them on stdout; unless `verbose`, what passed and infos are only counted, but for a
    start that is under way.
    """
    console = wide_console()
    shown = ORDER if verbose else ORDER[: ORDER.index(Severity.INFO)]
    for severity in shown:
        chosen = [f for f in findings if f.severity is severity]
        for finding in chosen if verbose else together(chosen):
            _print(console, finding)
    for finding in () if verbose else starts(findings):
        _print(console, finding)
    print_prose(console, summary(findings), 4)
    for what in imitated:
        print_prose(console, f"imitated: {what}", 4)


def together(findings: Sequence[Finding]) -> list[Finding]:
    """The findings; what several checks could not decide on a node for one reason is one."""
    groups: dict[object, list[Finding]] = {}
    for number, finding in enumerate(findings):
        alike = finding.severity is Severity.UNKNOWN and not finding.fix
        key = (finding.node, finding.summary) if alike else number
        groups.setdefault(key, []).append(finding)
    return [_as_one(group) if group[1:] else group[0] for group in groups.values()]


def starts(findings: Sequence[Finding]) -> list[Finding]:
    """What says that a start is under way, and by whom; each once, whatever checks say it."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        if finding.severity is Severity.INFO and finding.code == STARTING and "who" in finding.data:
            groups.setdefault((finding.node, finding.summary), []).append(finding)
    return [_as_one(group) if group[1:] else group[0] for group in groups.values()]


def _as_one(findings: Sequence[Finding]) -> Finding:
    checks = [f.check for f in findings]
    named = ", ".join(checks) if len(checks) <= NAMED else f"{len(checks)} checks"
    return replace(findings[0], check=named)


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many of each severity, those that occur."""
    number = counts(findings)
    parts = ((number[s.value], words) for s, words in COUNTED.items() if number[s.value])
    agreeing = (f"{n} {words.removesuffix('s') if n == 1 else words}" for n, words in parts)
    return ", ".join(agreeing) or "no findings"


def expectation(evidence: Evidence) -> str:
    """The evidence's values, as every room shows them."""
    return f"expected {evidence.expected}, got {evidence.got}"


def print_undecided(nodes: Mapping[str, str]) -> None:
    """Print the nodes without a decided check, each with the reason."""
    console = wide_console()
    for name, reason in nodes.items():
        console.print(Text(f"{name}: no check could be decided: {reason}", "bold red"))


def _print(console: Console, finding: Finding) -> None:
    head = Text()
    head.append(f"{finding.severity.value:<8}", STYLES[finding.severity])
    head.append(str(finding))
    print_prose(console, head, 8)
    if finding.severity in (Severity.OK, Severity.INFO):
        return
    for evidence in finding.evidence:
        text = f"{expectation(evidence)} ({evidence.where})"
        print_prose(console, Text(f"        {text}", "dim"), 10)
    if finding.fix:
        how = "  (doctor --fix applies it)" if finding.fix.actions else ""
        print_prose(console, f"        {finding.fix.text}{how}", 8)
        for command in finding.fix.to_paste:
            console.print(Text(f"          {command}"))
