"""The logs of failed starts that are kept on this machine: the rollback of a cluster's first start
removes them on the nodes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sparkctl import kept

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RUN = r"\d{8}-\d{6}-[0-9a-f]{4}"  # operations/run.py; it begins with the time


class KeptLog(NamedTuple):
    """A kept log: the run that it is of, the node and the unit's kind."""

    run: str
    node: str
    kind: str
    path: Path


def keep(cluster: str, run: str, node: str, kind: str, lines: Sequence[str]) -> Path:
    """Write the log of a run's unit; gives its path. Raises OSError."""
    return kept.write(f"{cluster}-{run}.{node}.{kind}.log", "\n".join([*lines, ""]))


def kept_logs(cluster: str) -> list[KeptLog]:
    """The kept logs of a cluster of this name, the newest first. Raises OSError."""
    of_it = re.compile(rf"{re.escape(cluster)}-({RUN})\.([^.]+)\.([^.]+)\.log")
    found = [(of_it.fullmatch(path.name), path) for path in kept.folder().glob("*.log")]
    return sorted((KeptLog(m[1], m[2], m[3], path) for m, path in found if m), reverse=True)


def newest(cluster: str, node: str, kind: str) -> Path | None:
    """The newest kept log of a unit; None without one, or where that cannot be known."""
    try:
        logs = kept_logs(cluster)
    except OSError:
        return None
    return next((log.path for log in logs if (log.node, log.kind) == (node, kind)), None)
