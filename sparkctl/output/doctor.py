"""Findings on a terminal: failures first, what passed is counted, the rest grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.doctor.finding import ORDER, Severity
from sparkctl.doctor.runner import counts
from sparkctl.node.units import STARTING
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.finding import NAMED, STYLES, print_detail, print_fix, print_headline
from sparkctl.output.imitated import imitated_line, imitated_lines
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from sparkctl.doctor.finding import Evidence, Finding

# What a count is called, in the order of the summary: with a noun it agrees with that.
COUNTED = {
    Severity.CRASH: "crashed",
    Severity.FAIL: "failed",
    Severity.WARN: "warning",
    Severity.UNKNOWN: "unknown",
    Severity.OK: "passed",
    Severity.INFO: "note",
}
NOUNS = (Severity.WARN, Severity.INFO)
QUIET = (Severity.OK, Severity.INFO)  # what only -v prints
# Notes that many checks say of all nodes for one reason: these are one note.
FOLDED = ("not-applicable", "not-running")


def print_findings(
    findings: Sequence[Finding], imitated: Sequence[str], *, verbose: bool = False
) -> None:
    """Print them on stdout; unless `verbose`, what passed and notes are only counted, but for a
    start that is under way, and what is imitated is named without how.
    """
    console = wide_console()
    shown = [f for s in ORDER for f in _shown(findings, s, verbose=verbose)]
    for finding in shown:
        _print(console, finding)
    if shown and not _detailed(shown[-1]):
        console.print()
    if imitated and not verbose:
        print_prose(console, imitated_line(imitated), 4)
    for part in imitated_lines(imitated) if verbose else []:
        print_prose(console, part, 8)
    hidden = not verbose and any(f.severity in QUIET for f in findings)
    line = Text(", ").join(Text(text, STYLES[severity]) for severity, text in amounts(findings))
    print_prose(console, (line or Text(NOTHING)) + (" (-v shows them)" if hidden else ""), 4)


def _shown(findings: Sequence[Finding], severity: Severity, *, verbose: bool) -> list[Finding]:
    """What is printed of the findings of one severity."""
    chosen = [f for f in findings if f.severity is severity]
    if verbose:
        return together(chosen) if severity is Severity.INFO else chosen
    if severity is Severity.INFO:
        return starts(chosen)
    return [] if severity in QUIET else together(chosen)


def together(findings: Sequence[Finding]) -> list[Finding]:
    """The findings; what several checks could not decide on a node for one reason is one, and so is
    what does not concern a service, or does not run.
    """
    groups: dict[object, list[Finding]] = {}
    for number, finding in enumerate(findings):
        key: object = number
        if finding.severity is Severity.UNKNOWN and not finding.fix:
            key = (finding.node, finding.summary)
        elif finding.severity is Severity.INFO and finding.code in FOLDED:
            key = (finding.code, finding.summary)
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
    """One for all of these, with their checks and nodes."""
    first = findings[0]
    checks = list(dict.fromkeys(f.check for f in findings))
    nodes = list(dict.fromkeys(f.node for f in findings if f.node))
    summary = first.summary
    if first.code in FOLDED and checks[NAMED:]:
        summary += f" ({', '.join(checks)})"
    named = _named(checks, "check"), _named(nodes, "node") or None
    return replace(first, check=named[0], node=named[1], summary=summary)


def _named(names: Sequence[str], noun: str) -> str:
    """These names, or how many they are."""
    return counted(len(names), noun) if names[NAMED:] else ", ".join(names)


NOTHING = "no findings"


def summary(findings: Sequence[Finding]) -> str:
    """One line: how many of each severity, those that occur."""
    return ", ".join(text for _, text in amounts(findings)) or NOTHING


def amounts(findings: Sequence[Finding]) -> list[tuple[Severity, str]]:
    """How many of each severity, in words, in the order of the summary; of notes as many as are
    shown.
    """
    notes = together([f for f in findings if f.severity is Severity.INFO])
    number = {**counts(findings), Severity.INFO.value: len(notes)}
    return [
        (severity, counted(n, word) if severity in NOUNS else f"{n} {word}")
        for severity, word in COUNTED.items()
        if (n := number[severity.value])
    ]


def expectation(evidence: Evidence) -> str:
    """The evidence's values, as every room shows them."""
    return f"expected {evidence.expected}, got {evidence.got}"


def print_undecided(nodes: Mapping[str, str]) -> None:
    """Print the nodes without a decided check, each with the reason."""
    console = wide_console()
    for name, reason in nodes.items():
        line = Text(f"{name}: no check could be decided: {reason}", "bold red")
        print_prose(console, line, 4)


def _detailed(finding: Finding) -> bool:
    return finding.severity not in QUIET and bool(finding.evidence or finding.fix)


def _print(console: Console, finding: Finding) -> None:
    print_headline(console, finding.severity, finding.place, finding.summary)
    if not _detailed(finding):
        return
    for evidence in finding.evidence:
        print_detail(console, f"{expectation(evidence)} ({evidence.where})", "dim")
    if fix := finding.fix:
        how = " (`doctor --fix` applies it)" if fix.actions else ""
        if fix.after:
            print_detail(console, fix.text)
        else:
            print_fix(console, f"{fix.text}{how}", fix.to_paste)
    console.print()
