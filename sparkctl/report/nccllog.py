"""The log reader's verdict in plain text: overall, findings, a table of the ranks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from sparkctl.doctor.decide import Decision
from sparkctl.fabric.nccllog.model import Finding, LogVerdict, RankVerdict
from sparkctl.report.console import wide_console

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
    console.print(Text(headline, style="bold"))
    for finding in verdict.findings:
        console.print()
        for line in _finding(finding):
            console.print(line)
    for name in verdict.unrecognized:
        told = "has no line of NCCL or vLLM that is known; expected a log of vLLM, or of NCCL under"
        console.print(Text(f"{name} {told} NCCL_DEBUG=INFO"))
    if verdict.ranks:
        console.print()
        console.print(_table(verdict.ranks))


def print_decisions(decisions: Sequence[Decision]) -> None:
    """What the nodes say of each cause that the log leaves open, on stdout."""
    console = wide_console()
    for decision in decisions:
        if decision.state == "found":
            where = f" on {decision.node}" if decision.node else ""
            line = f"decided: {decision.cause}{where} ({', '.join(decision.checks)})"
            console.print(Text(line, style="bold"))
    for state, words in (("not found", "not found on the nodes now"), ("open", "still open")):
        if causes := [d.cause for d in decisions if d.state == state]:
            console.print(Text(f"{words}: {', '.join(causes)}"))


def _finding(finding: Finding) -> list[Text]:
    lines = [
        Text.assemble(
            (finding.severity, STYLE[finding.severity]), f" {finding.cause}: {finding.summary}"
        )
    ]
    lines += [Text(f"  {e.file}:{e.line}: {e.text}") for e in finding.evidence]
    lines += [Text(f"  or {c.cause}: decided by {c.decided_by}") for c in finding.candidates]
    lines.append(Text(f"  fix: {finding.fix.text}"))
    lines += [Text(f"    {command}") for command in finding.fix.commands]
    return lines


def _table(ranks: tuple[RankVerdict, ...]) -> Table:
    table = Table(box=None)
    for column in ("RANK", "HOST", "PID", "NCCL", "TRANSPORT", "CHANNELS", "CAUSE"):
        table.add_column(column, no_wrap=True)
    for rank in ranks:
        channels = ", ".join(f"{name} {count}" for name, count in rank.channels.items())
        cells = (
            "-" if rank.rank is None else str(rank.rank),
            rank.host,
            str(rank.pid),
            rank.nccl or "-",
            rank.transport,
            channels or "-",
            rank.cause or "-",
        )
        table.add_row(*map(Text, cells))
    return table
