"""The logs of what we start: logs/<run>/<unit>.log below the state directory, bounded in number
and in size.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkctl.node import files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RUNS = 10  # whose logs are kept
BYTES = 32 * 2**20  # of one log until it is set aside; the first and the last set aside are kept
RECORD = "applied.json"  # what was started last, written by cluster/record.py
RUN = re.compile(r"[\w-]+")
# Runs as long as the process whose log it is. What writes a log has it open for appending, so it
# goes on at the beginning of the emptied file; what comes between copy and truncate is lost, as
# with logrotate(8)'s copytruncate.
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
    """The path of a new log of a run; of older runs the last ones are kept, and `living` ones."""
    base = files.state_dir(cluster) / "logs"
    folder = base / run
    for path in (base, folder):  # of a parent that mkdir makes by the way the mode is the umask's
        path.mkdir(exist_ok=True, mode=0o700)
    known = sorted((p for p in base.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in known[:-RUNS]:
        if old.name not in living and old.name != run:
            shutil.rmtree(old, ignore_errors=True)
    return folder / f"{unit}.log"


def keep_small(pid: int, path: Path, environment: Mapping[str, str]) -> None:
    """Bound a log for as long as this process of ours lives, by a process with its mark."""
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
    """The log of the unit that was started last; where it would be when there is none."""
    base = files.home(cluster)
    recorded = base / "logs" / _recorded(base, unit) / f"{unit}.log"
    if recorded.is_file():
        return recorded
    found = [p for p in base.glob(f"logs/*/{unit}.log") if p.is_file()]
    # A sparkctl before there were runs' logs had one for all of them.
    return max(found, key=lambda p: p.stat().st_mtime, default=base / f"{unit}.log")


def named(request: Mapping[str, Any]) -> Path:
    """The log that a request names: by its `path`, or the last of a `unit` of its `cluster`."""
    if "path" in request:
        return Path(request["path"]).expanduser()
    return current(request["cluster"], request["unit"])


def parts(path: Path) -> list[Path]:
    """A log and what was set aside of it, in the order of their writing."""
    before = [path.with_suffix(".begin.log"), path.with_suffix(".before.log")]
    return [*(p for p in before if p.is_file()), path]


def _recorded(base: Path, unit: str) -> str:
    """The run that started this unit last, by our record; "-" where none says."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        run = json.loads((base / RECORD).read_text())["units"][unit]["run"]
        if RUN.fullmatch(run):
            return str(run)
    return "-"
