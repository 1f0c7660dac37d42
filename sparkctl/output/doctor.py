"""Findings on a terminal: failures first, what passed is counted, the rest grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.doctor.finding import ORDER, Severity
from sparkctl.doctor.runner import counts
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
    """Print them on stdout; unless `verbose`, what passed and infos are only counted."""
    console = wide_console()
    shown = ORDER if verbose else ORDER[: ORDER.index(Severity.INFO)]
    for severity in shown:
        chosen = [f for f in findings if f.severity is severity]
        if severity is Severity.UNKNOWN and not verbose:
            _print_grouped(console, chosen)
        else:
            for finding in chosen:
                _print(console, finding)
    print_prose(console, summary(findings), 4)
    for what in imitated:
        print_prose(console, f"imitated: {what}", 4)


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many of each severity, those that occur."""
    number = counts(findings)
    parts = (f"{number[s.value]} {words}" for s, words in COUNTED.items() if number[s.value])
    return ", ".join(parts) or "no findings"


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


def _print_grouped(console: Console, findings: Sequence[Finding]) -> None:
    """Undecided checks, one line for each node and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        groups.setdefault((finding.node or "", finding.summary), []).append(finding.check)
    for (node, reason), checks in groups.items():
        line = Text()
        line.append(f"{'UNKNOWN':<8}", STYLES[Severity.UNKNOWN])
        where = f"{node}: " if node else ""
        named = ", ".join(checks) if len(checks) <= 4 else f"{len(checks)} checks"
        line.append(f"{where}{named}: {reason}")
        print_prose(console, line, 8)
