"""What runs on one host: its clusters, each with its units."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from sparkctl.ages import ago
from sparkctl.operations.lease import described
from sparkctl.output.console import print_prose, wide_console
from sparkctl.output.statustable import unit_columns
from sparkctl.output.stdio import print_names
from sparkctl.output.table import print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.facts.answers import OtherCluster
    from sparkctl.operations.host import ClusterThere, HostStatus


def print_host(found: HostStatus, *, wide: bool = False, now: float | None = None) -> None:
    """Print it on stdout; plain where stdout is not a terminal.

    `now` is in seconds since the epoch, the present by default.
    """
    console = wide_console()
    now = time.time() if now is None else now
    console.print(Text.assemble("host ", (found.host, "bold")), soft_wrap=True)
    for cluster in found.clusters:
        console.print()
        print_prose(console, _title(cluster, now), 4)
        if cluster.units:
            print_table(console, unit_columns(cluster.units, now), wide=wide)
        for line in _lines(cluster, now):
            print_prose(console, line, 4)
    for line in _rest(found):
        print_prose(console, line, 4)


def print_host_names(found: HostStatus) -> None:
    """Print the ids of the units, one a line."""
    print_names(unit.id for cluster in found.clusters for unit in cluster.units)


def _title(cluster: ClusterThere, now: float) -> str:
    text = f"cluster {cluster.name}"
    if cluster.who:
        text += f", started by {cluster.who} {ago(cluster.when, now)}"
    nodes = [f"{name} ({host})" for name, host in cluster.nodes.items()]
    return text + (f", on {', '.join(nodes)}" if nodes else "")


def _lines(cluster: ClusterThere, now: float) -> Iterator[str]:
    if cluster.error:
        yield f"what was started could not be read: {cluster.error}"
    for unit in cluster.units:
        if unit.why and not cluster.error:
            yield f"{unit.title}: {unit.why}"
    if cluster.lease:
        yield f"locked by {described(cluster.lease, now)}"
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
