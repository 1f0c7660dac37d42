"""The logs of started programs: logs/<run>/<unit>.log below the state directory, bounded in number
and size.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, state
from sparkctl.node.unitid import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from sparkctl.node.logwire import Log

RUNS = 10  # whose logs are kept
TAIL = 2**18  # bytes at the end of a log in which its last lines are looked for
RECORD = state.NAME  # what was started last
HEADER = "== sparkctl "  # begins the line before each start in a log
RUN = re.compile(r"[\w-]+")


def new(cluster: str, run: str, unit: str, living: Collection[str]) -> Path:
    """The path of a new log of a run; older runs' logs go, except the last ones and `living`.

    `unit` is an id or a kind: a node has one unit of a kind.
    """
    base = files.state_dir(cluster) / "logs"
    folder = base / run
    for path in (base, folder):  # parents that mkdir makes get the umask's mode
        path.mkdir(exist_ok=True, mode=0o700)
    known = sorted((p for p in base.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in known[:-RUNS]:
        if old.name not in living and old.name != run:
            shutil.rmtree(old, ignore_errors=True)
    return folder / f"{kind_of(unit)}.log"


def exit_path(log: Path) -> Path:
    """Where a shim writes how the program of this log ended (shim.py)."""
    return log.with_suffix(".exit")


def tail(path: Path, offset: int, lines: int = 60) -> list[str]:
    """The last lines after an offset, or of all that is left once the log was rotated."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(offset if offset <= size else 0, size - TAIL))
            return stream.read().decode(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


def current(cluster: str, unit: str) -> Path:
    """The log of the last start of a unit, by its id or its kind; where it would be if there is
    none.
    """
    base, name = files.home(cluster), f"{kind_of(unit)}.log"
    recorded = base / "logs" / _recorded(cluster, unit) / name
    if recorded.is_file():
        return recorded
    found = [p for p in base.glob(f"logs/*/{name}") if p.is_file()]
    # An older release had one log for all runs.
    return max(found, key=lambda p: p.stat().st_mtime, default=base / name)


def named(request: Log) -> Path:
    """The log that a request names: by its `path`, or the last one of a `unit` of its `cluster`."""
    if "path" in request:
        return Path(request["path"]).expanduser()
    return current(request["cluster"], request["unit"])


def parts(path: Path) -> list[Path]:
    """The parts of a log in the order of their writing, the log itself last."""
    before = [path.with_suffix(".begin.log"), path.with_suffix(".before.log")]
    return [*(p for p in before if p.is_file()), path]


def _recorded(cluster: str, unit: str) -> str:
    """The run that started this unit last, by the record; "-" if that does not say, or is newer."""
    with suppress(OSError, ValueError):
        found = state.read(cluster)
        entries = [e for u, e in found["units"].items() if unit in (u, kind_of(u))]
        entries.sort(key=lambda e: e["since"] if isinstance(e.get("since"), (int, float)) else 0)
        older = found["older"].get(kind_of(unit))
        run = (entries or [older or {}])[-1].get("run")
        if isinstance(run, str) and RUN.fullmatch(run):
            return run
    return "-"
