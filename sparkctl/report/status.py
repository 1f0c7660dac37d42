"""The status as a table."""

from __future__ import annotations

import time

from rich.table import Table
from rich.text import Text

from sparkctl.cluster.status import NodeStatus, Status
from sparkctl.report.console import wide_console


def print_status(status: Status) -> None:
    """Print it on stdout; plain where stdout is no terminal."""
    console = wide_console()
    table = Table(title=f"cluster {status.cluster}", title_justify="left", box=None)
    for column in ("NODE", "ROLE", "HOST", "FABRIC", "RAY", "RANKS", "GPU", "MEMORY FREE", "SINCE"):
        table.add_column(column, no_wrap=True)
    for node in status.nodes:
        table.add_row(*(Text(cell) for cell in _row(node)))
    console.print(table)
    for node in status.nodes:
        if node.error:
            console.print(Text(f"{node.name}: {node.error.removeprefix(node.name + ': ')}"))
    if "error" in status.ray:
        console.print(Text(f"ray: {status.ray['error']}"))
    console.print(Text(f"vllm: {_vllm(status)}"))
    for what in status.imitated:
        console.print(Text(f"imitated: {what}"))


def _row(node: NodeStatus) -> list[str]:
    memory = node.memory_available
    since = min((p["since"] for p in node.processes), default=None)
    return [
        node.name,
        node.role,
        node.host,
        node.fabric_address or "-",
        "unreachable" if node.error else node.ray,
        str(node.ranks),
        node.gpu or "-",
        f"{memory / 2**30:.1f} GiB" if memory is not None else "-",
        moment(since) if since else "-",
    ]


def moment(seconds: float) -> str:
    """Seconds since the epoch, in the reader's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _vllm(status: Status) -> str:
    vllm = status.vllm
    if "error" in vllm:
        return str(vllm["error"])
    text = f"{vllm.get('version')} serves {', '.join(vllm['models'])} at {vllm['endpoint']}"
    if "tokens" in vllm:
        text += f"; generated {vllm['tokens']} tokens in {vllm['seconds']:.2f} s"
    return text + f", since {moment(vllm['since'])}"
