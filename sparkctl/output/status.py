"""The status as a table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.cluster.lease import described
from sparkctl.node.vitals import describe
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.spans import age
from sparkctl.output.table import Column, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkctl.cluster.status import NodeStatus, Status


def print_status(status: Status) -> None:
    """Print it on stdout; plain where stdout is no terminal."""
    console = wide_console()
    console.print(Text(f"cluster {status.cluster}", "italic"))
    print_table(console, _columns(status.nodes, time.time()))
    for node in status.nodes:
        if node.error:
            print_prose(console, f"{node.name}: {node.error.removeprefix(node.name + ': ')}", 4)
        for group, why in node.gaps.items():
            print_prose(console, f"{node.name}: {group} could not be read: {why}", 4)
    if status.lease:
        print_prose(console, f"locked by {described(status.lease)}", 4)
    if "error" in status.ray:
        print_prose(console, f"ray: {status.ray['error']}", 4)
    print_prose(console, f"vllm: {_vllm(status)}", 4)
    for what in status.imitated:
        print_prose(console, f"imitated: {what}", 4)


def _columns(nodes: Sequence[NodeStatus], now: float) -> list[Column]:
    """The table's; the rank says how long a column stays where not all of them have room."""
    since = [min((p.since for p in node.processes), default=None) for node in nodes]
    ages = Column("AGE", ["-" if s is None else age(now - s) for s in since], 4)
    return [
        Column("NODE", [n.name for n in nodes], 8),
        Column("ROLE", [n.role for n in nodes], 6),
        Column("HOST", [n.host for n in nodes], 1),
        Column("FABRIC", [n.fabric_address or "-" for n in nodes], 2),
        Column("RAY", [_ray(n) for n in nodes], 7),
        Column("RANKS", ["-" if n.ranks is None else str(n.ranks) for n in nodes], 5),
        Column("GPU", [n.gpu or "-" for n in nodes], 0),
        Column("MEMORY FREE", [_memory(n.memory_available) for n in nodes], 3),
        Column("SINCE", ["-" if s is None else moment(s) for s in since], 4, short=ages),
    ]


def _ray(node: NodeStatus) -> str:
    if node.error is None:
        return node.ray
    return "unreadable" if node.reached else "unreachable"


def _memory(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**30:.1f} GiB"


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
    elif "health" in vllm:
        text += f"; {describe(vllm['health'])}"
    return text + (f", since {moment(vllm['since'])}" if "since" in vllm else "")
