"""Findings on a terminal: failures first, what passed is counted, the rest grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.doctor.finding import ORDER, Finding, Severity
from sparkctl.doctor.runner import counts
from sparkctl.output.console import print_prose, wide_console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

STYLES = {
    Severity.CRASH: "bold magenta",
    Severity.FAIL: "bold red",
    Severity.WARN: "yellow",
    Severity.UNKNOWN: "cyan",
    Severity.INFO: "blue",
    Severity.OK: "green",
}


def print_findings(
    findings: Sequence[Finding], imitated: Sequence[str], *, verbose: bool = False
) -> None:
    """Print them on stdout: what passed and what is only told is counted, unless `verbose`."""
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


def print_undecided(nodes: Mapping[str, str]) -> None:
    """Print on stdout the nodes of which no check could be decided, each with the reason."""
    for name, reason in nodes.items():
        wide_console().print(Text(f"{name}: no check could be decided: {reason}", "bold red"))


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many of each severity, those that occur."""
    words = {"OK": "passed", "INFO": "to know", "UNKNOWN": "unknown", "FAIL": "failed",
             "WARN": "warnings", "CRASH": "crashed"}  # fmt: skip
    told = ", ".join(f"{n} {words[name]}" for name, n in counts(findings).items() if n)
    return told or "nothing was found"


def _print(console: Console, finding: Finding) -> None:
    head = Text()
    head.append(f"{finding.severity.value:<8}", STYLES[finding.severity])
    head.append(str(finding))
    print_prose(console, head, 8)
    if finding.severity in (Severity.OK, Severity.INFO):
        return
    for evidence in finding.evidence:
        text = f"expected {evidence.expected}, got {evidence.got} ({evidence.where})"
        print_prose(console, Text(f"        {text}", "dim"), 10)
    if finding.fix:
        how = "  (doctor --fix does it)" if finding.fix.actions else ""
        print_prose(console, f"        {finding.fix.text}{how}", 8)
        for command in finding.fix.to_paste:
            console.print(Text(f"          {command}"))


def _print_grouped(console: Console, findings: Sequence[Finding]) -> None:
    """Checks that nothing is known for, by node and reason: one line each."""
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
