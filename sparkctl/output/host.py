"""What runs on one host: its clusters, each with its units."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.operations.lease import described
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.status import moment, starting
from sparkctl.output.table import Column, filled, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparkctl.facts.answers import OtherCluster
    from sparkctl.operations.host import ClusterThere, HostStatus
    from sparkctl.operations.unitstatus import UnitStatus


def print_host(found: HostStatus) -> None:
    """Print it on stdout; plain where stdout is not a terminal."""
    console = wide_console()
    console.print(Text(f"host {found.host}", "italic"))
    for cluster in found.clusters:
        print_prose(console, _title(cluster), 4)
        if cluster.units:
            print_table(console, _columns(cluster.units))
        for line in _lines(cluster):
            print_prose(console, line, 4)
    for line in _rest(found):
        print_prose(console, line, 4)


def _title(cluster: ClusterThere) -> str:
    text = f"cluster {cluster.name}"
    if cluster.who:
        text += f", started by {cluster.who} at {cluster.when}"
    nodes = [f"{name} ({host})" for name, host in cluster.nodes.items()]
    return text + (f", on {', '.join(nodes)}" if nodes else "")


def _columns(units: Sequence[UnitStatus]) -> list[Column]:
    return [
        Column("UNIT", [u.id for u in units], 3),
        Column("STATE", [u.state for u in units], 2),
        Column("RANKS", [str(u.ranks) for u in units], 0),
        Column("SINCE", filled((u.since for u in units), moment), 1),
    ]


def _lines(cluster: ClusterThere) -> Iterator[str]:
    if cluster.error:
        yield f"what was started could not be read: {cluster.error}"
    for unit in cluster.units:
        if unit.state == "starting":
            yield f"{unit.title}: {starting(unit, time.time())}"
        elif unit.why and not cluster.error:
            yield f"{unit.title}: {unit.why}"
    if cluster.lease:
        yield f"locked by {described(cluster.lease)}"
    if not cluster.units and not cluster.error:
        yield "no unit of it runs on this node or is recorded there"


def _rest(found: HostStatus) -> Iterator[str]:
    if not found.clusters:
        yield "this account has no cluster there"
    if found.left_out:
        yield f"{found.left_out} more clusters were not read"
    yield from map(_other, found.others)


def _other(other: OtherCluster) -> str:
    account = other.user or f"uid {other.uid}"
    seen = f"{other.processes} processes" if other.processes else "its processes are not visible"
    return f"cluster {other.cluster} of account {account}: {seen}"
