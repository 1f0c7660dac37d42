"""Commands that are killed at one of the calls by which they change nodes (toy/kill.py)."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.lab.cluster import UP_TIMEOUT
from tests.lab.toy.kill import KILL_AT, POINTS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.cluster import Cluster


def points(cluster: Cluster, file: Path, *command: str) -> list[str]:
    """The points that a whole run of the command passes, in order."""
    variables = {**cluster.variables, POINTS: str(file)}
    replace(cluster, variables=variables).run(*command, timeout=UP_TIMEOUT)
    return file.read_text().splitlines()


def crash(cluster: Cluster, at: int | str, *command: str) -> None:
    """Run the command, which is killed at this point: its number, or a pattern of its line."""
    variables = {**cluster.variables, KILL_AT: str(at)}
    process = replace(cluster, variables=variables).start(*command)
    try:
        out, err = process.communicate(timeout=UP_TIMEOUT)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL, f"not killed at {at}\n{out}\n{err}"


def left(cluster: Cluster, name: str) -> dict[str, list[str]]:
    """What the cluster `name` has left on each node: files, and processes with its mark."""
    look = (
        f"ls -d ~/.sparkctl/{name} /tmp/sparkctl-{name} /tmp/sparkctl-{name}-* 2>/dev/null;"
        f"grep -lsz '^SPARKCTL_CLUSTER={name}/' /proc/[0-9]*/environ; true"
    )
    found = {n.name: cluster.on(n.name, look).splitlines() for n in cluster.lab.nodes}
    return {node: lines for node, lines in found.items() if lines}
