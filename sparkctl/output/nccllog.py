"""The log reader's verdict in plain text: overall, findings, a table of the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.doctor.finding import Severity
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.doctor import print_findings
from sparkctl.output.finding import NAMED, print_detail, print_fix, print_headline
from sparkctl.output.stdio import print_out
from sparkctl.output.table import Column, filled, print_table
from sparkctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sparkctl.doctor.finding import Finding as NodeFinding
    from sparkctl.doctor.log_causes import Decision
    from sparkctl.fabric.nccllog.model import Finding, LogVerdict, RankVerdict

MEANING = {
    "rdma": "NCCL runs over RDMA",
    "socket": "NCCL runs over Socket (TCP), not over RDMA",
    "local": "NCCL needs no network: P2P or shared memory alone",
    "failed": "NCCL's network failed",
    "unknown": "the log does not show which transport NCCL uses",
}
MOST_RANKS = 200  # that are printed; the rest are counted
ENGINES = ("vllm", "sglang")  # causes that have codes for what went wrong


def print_verdict(verdict: LogVerdict) -> None:
    """Print it on stdout; plain where stdout is not a terminal."""
    console = wide_console()
    headline = MEANING[verdict.transport]
    if verdict.cause == "unknown" and verdict.transport in ("rdma", "local"):
        headline += ", and something else is wrong"
    elif verdict.cause:
        headline += f": {verdict.cause}"
    print_prose(console, Text(headline, style="bold"), 4)
    if count := sum(verdict.earlier.values()):
        starts = counted(count, "earlier start")
        print_prose(console, f"The log has {starts}; the verdict is on the last one.", 4)
    for finding in verdict.findings:
        console.print()
        _print_finding(console, finding)
    for name in verdict.unrecognized:
        text = f"{name} has no known line of NCCL, vLLM or SGLang; NCCL logs under NCCL_DEBUG=INFO"
        print_prose(console, text, 4)
    if verdict.ranks:
        console.print()
        print_table(console, _columns(verdict.ranks[:MOST_RANKS]))
        if (more := len(verdict.ranks) - MOST_RANKS) > 0:
            print_prose(console, f"{counted(more, 'more rank')}; see --json", 4)


def print_decided(findings: Sequence[NodeFinding], decisions: Sequence[Decision]) -> None:
    """Print the findings of the deciding checks, and what they say of each open cause."""
    print_out("\nchecks on the nodes now:")
    print_findings(findings, [], verbose=True)
    console = wide_console()
    for decision in decisions:
        if decision.state == "found":
            where = f" on {decision.node}" if decision.node else ""
            line = f"decided: {decision.cause}{where} ({', '.join(decision.checks)})"
            print_prose(console, Text(line, style="bold"), 4)
    for state, words in (("not found", "not found on the nodes now"), ("open", "still open")):
        if causes := [d.cause for d in decisions if d.state == state]:
            print_prose(console, f"{words}: {', '.join(causes)}", 4)


def _print_finding(console: Console, finding: Finding) -> None:
    print_headline(console, Severity(finding.severity), _place(finding), finding.summary)
    for evidence in finding.evidence:
        print_detail(console, f"{evidence.file}:{evidence.line}: {evidence.text}", "dim")
    for cause in sorted(finding.candidates, key=lambda c: c.cause != finding.cause):
        other = f"or {cause.cause}: " if cause.cause != finding.cause else ""
        print_detail(console, f"{other}decided by {cause.decided_by}")
    print_fix(console, finding.fix.text, finding.fix.commands)


def _place(finding: Finding) -> str:
    """What is wrong in a word, and the hosts where it is."""
    name: str = finding.cause
    if name in ENGINES and finding.code != name:
        name = f"{name}.{finding.code}"
    hosts = list(dict.fromkeys(rank.rpartition(":")[0] for rank in finding.ranks))
    where = ", ".join(hosts) if len(hosts) <= NAMED else counted(len(hosts), "host")
    return f"{name} {where}" if where else name


def _columns(ranks: Sequence[RankVerdict]) -> list[Column]:
    """The table's columns; those of the lowest rank go first where not all have room."""
    channels = [", ".join(f"{name} {n}" for name, n in r.channels.items()) for r in ranks]
    return [
        Column("RANK", filled(r.rank for r in ranks), 6),
        Column("HOST", [r.host for r in ranks], 5),
        Column("PID", [str(r.pid) for r in ranks], 1),
        Column("NCCL", filled(r.nccl for r in ranks), 2),
        Column("TRANSPORT", [r.transport for r in ranks], 4),
        Column("CHANNELS", filled(text or None for text in channels), 0),
        Column("CAUSE", filled(r.cause for r in ranks), 3),
    ]
