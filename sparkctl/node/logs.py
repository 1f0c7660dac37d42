"""The logs of started programs: logs/<run>/<unit>.log below the state directory, bounded in number
and size.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl.node import files, jsontext

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sparkctl.node.wire import Log

RUNS = 10  # whose logs are kept
BYTES = 32 * 2**20  # of a log until it is rotated; its first and its last part are kept
RECORD, RECORD_SCHEMA = "applied.json", 1  # what was started last, see plan/record.py
HEADER = "== sparkctl "  # begins the line before each start in a log
RUN = re.compile(r"[\w-]+")
# Runs as long as the process whose log it is. Writers have a log open for appending, so they go on
# at the beginning of the emptied file; what they write between copy and truncate is lost, as with
# logrotate(8)'s copytruncate.
KEEPER = """\
import os, select, shutil, sys
pid, path, limit = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
stem = path[: -len(".log")]
try:
    ended = os.pidfd_open(pid)
except OSError:
    sys.exit()
while not select.select([ended], [], [], 10)[0]:
    try:
        if os.stat(path).st_size > limit:
            begun = stem + ".begin.log"
            shutil.copy(path, stem + ".before.log" if os.path.exists(begun) else begun)
            os.truncate(path, 0)
    except OSError:
        pass
"""


def new(cluster: str, run: str, unit: str, living: Collection[str]) -> Path:
    """The path of a new log of a run; older runs' logs go, except the last ones and `living`."""
    base = files.state_dir(cluster) / "logs"
    folder = base / run
    for path in (base, folder):  # parents that mkdir makes get the umask's mode
        path.mkdir(exist_ok=True, mode=0o700)
    known = sorted((p for p in base.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in known[:-RUNS]:
        if old.name not in living and old.name != run:
            shutil.rmtree(old, ignore_errors=True)
    return folder / f"{unit}.log"


def keep_small(pid: int, path: Path, environment: Mapping[str, str]) -> None:
    """Start a process with the same mark that bounds a log as long as the process `pid` lives."""
    subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", KEEPER, str(pid), str(path), str(BYTES)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment, "SPARKCTL_ROLE": "log"},
        cwd="/",
        start_new_session=True,
    )


def current(cluster: str, unit: str) -> Path:
    """The log of the unit's last start; where it would be if there is none."""
    base = files.home(cluster)
    recorded = base / "logs" / _recorded(base, unit) / f"{unit}.log"
    if recorded.is_file():
        return recorded
    found = [p for p in base.glob(f"logs/*/{unit}.log") if p.is_file()]
    # An older release had one log for all runs.
    return max(found, key=lambda p: p.stat().st_mtime, default=base / f"{unit}.log")


def named(request: Log) -> Path:
    """The log that a request names: by its `path`, or the last one of a `unit` of its `cluster`."""
    if "path" in request:
        return Path(request["path"]).expanduser()
    return current(request["cluster"], request["unit"])


def parts(path: Path) -> list[Path]:
    """The parts of a log in the order of their writing, the log itself last."""
    before = [path.with_suffix(".begin.log"), path.with_suffix(".before.log")]
    return [*(p for p in before if p.is_file()), path]


def _recorded(base: Path, unit: str) -> str:
    """The run that started this unit last, by the record; "-" if that does not say, or is newer."""
    with suppress(OSError, ValueError, KeyError):
        found = jsontext.table(files.document(base / RECORD, RECORD_SCHEMA))
        started = jsontext.table(jsontext.table(found["units"])[unit])
        run = jsontext.text(started["run"])
        if RUN.fullmatch(run):
            return run
    return "-"
