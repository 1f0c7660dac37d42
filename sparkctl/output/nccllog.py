"""The log reader's verdict in plain text: overall, findings, a table of the ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.table import Column, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from sparkctl.doctor.log_causes import Decision
    from sparkctl.fabric.nccllog.model import Finding, LogVerdict, RankVerdict

MEANING = {
    "rdma": "NCCL runs over RDMA",
    "socket": "NCCL runs over Socket (TCP), not over RDMA",
    "local": "NCCL needs no network: P2P or shared memory alone",
    "failed": "NCCL's network failed",
    "unknown": "the log does not tell which transport NCCL uses",
}
STYLE = {"FAIL": "red", "WARN": "yellow", "UNKNOWN": "yellow", "INFO": ""}


def print_verdict(verdict: LogVerdict) -> None:
    """Print it on stdout; plain where stdout is no terminal."""
    console = wide_console()
    headline = MEANING[verdict.transport]
    if verdict.cause == "unknown" and verdict.transport in ("rdma", "local"):
        headline += ", and something else is wrong"
    elif verdict.cause:
        headline += f": {verdict.cause}"
    print_prose(console, Text(headline, style="bold"), 4)
    for finding in verdict.findings:
        console.print()
        _print_finding(console, finding)
    for name in verdict.unrecognized:
        told = "has no line of NCCL or vLLM that is known; expected a log of vLLM, or of NCCL under"
        print_prose(console, f"{name} {told} NCCL_DEBUG=INFO", 4)
    if verdict.ranks:
        console.print()
        print_table(console, _columns(verdict.ranks))


def print_decisions(decisions: Sequence[Decision]) -> None:
    """What the nodes say of each cause that the log leaves open, on stdout."""
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
    severity = (finding.severity, STYLE[finding.severity])
    print_prose(console, Text.assemble(severity, f" {finding.cause}: {finding.summary}"), 2)
    for evidence in finding.evidence:  # a log's line, as it is there
        console.print(Text(f"  {evidence.file}:{evidence.line}: {evidence.text}"))
    for cause in finding.candidates:
        print_prose(console, f"  or {cause.cause}: decided by {cause.decided_by}", 4)
    print_prose(console, f"  fix: {finding.fix.text}", 4)
    for command in finding.fix.commands:
        console.print(Text(f"    {command}"))


def _columns(ranks: Sequence[RankVerdict]) -> list[Column]:
    """The table's; the rank says how long a column stays where not all of them have room."""
    channels = [", ".join(f"{name} {n}" for name, n in r.channels.items()) for r in ranks]
    return [
        Column("RANK", ["-" if r.rank is None else str(r.rank) for r in ranks], 6),
        Column("HOST", [r.host for r in ranks], 5),
        Column("PID", [str(r.pid) for r in ranks], 1),
        Column("NCCL", [r.nccl or "-" for r in ranks], 2),
        Column("TRANSPORT", [r.transport for r in ranks], 4),
        Column("CHANNELS", [text or "-" for text in channels], 0),
        Column("CAUSE", [r.cause or "-" for r in ranks], 3),
    ]
