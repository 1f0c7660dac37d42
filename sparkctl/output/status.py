"""The status of a cluster: a table of its nodes, then what is wrong, then what vLLM serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sparkctl.node.vitals import describe
from sparkctl.operations.lease import described
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.spans import age
from sparkctl.output.table import Column, filled, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparkctl.operations.status import NodeStatus, Status


def print_status(status: Status) -> None:
    """Print it on stdout; plain where stdout is not a terminal."""
    console = wide_console()
    console.print(Text(f"cluster {status.cluster}", "italic"))
    print_table(console, _columns(status.nodes, time.time()))
    for line in _lines(status):
        print_prose(console, line, 4)


def _lines(status: Status) -> Iterator[str]:
    for node in status.nodes:
        if node.error:
            yield f"{node.name}: {node.error.message}"
        for group, why in node.gaps.items():
            yield f"{node.name}: {group} could not be read: {why}"
    if status.lease:
        yield f"locked by {described(status.lease)}"
    if "error" in status.ray:
        yield f"ray: {status.ray['error']}"
    yield f"vllm: {_vllm(status.vllm)}"
    for what in status.imitated:
        yield f"imitated: {what}"


def _columns(nodes: Sequence[NodeStatus], now: float) -> list[Column]:
    """The table's columns; those of the lowest rank go first where not all have room."""
    since = [min((p.since for p in node.processes), default=None) for node in nodes]
    ages = Column("AGE", filled(since, lambda moment: age(now - moment)), 4)
    return [
        Column("NODE", [n.name for n in nodes], 8),
        Column("ROLE", [n.role for n in nodes], 6),
        Column("HOST", [n.host for n in nodes], 1),
        Column("FABRIC", filled(n.fabric_address for n in nodes), 2),
        Column("RAY", [_ray(n) for n in nodes], 7),
        Column("RANKS", filled(n.ranks for n in nodes), 5),
        Column("GPU", filled(n.gpu for n in nodes), 0),
        Column("MEMORY FREE", filled((n.memory_available for n in nodes), _memory), 3),
        Column("SINCE", filled(since, moment), 4, short=ages),
    ]


def _ray(node: NodeStatus) -> str:
    if node.error is None:
        return node.ray
    return "unreadable" if node.reached else "unreachable"


def _memory(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def moment(seconds: float) -> str:
    """Seconds since the epoch, in the reader's own time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _vllm(vllm: Mapping[str, Any]) -> str:
    if "error" in vllm:
        return str(vllm["error"])
    text = f"{vllm.get('version')} serves {', '.join(vllm['models'])} at {vllm['endpoint']}"
    if "tokens" in vllm:
        text += f"; generated {vllm['tokens']} tokens in {vllm['seconds']:.2f} s"
    elif "health" in vllm:
        text += f"; {describe(vllm['health'])}"
    return text + (f", since {moment(vllm['since'])}" if "since" in vllm else "")
