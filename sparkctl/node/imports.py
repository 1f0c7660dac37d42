"""Whether the runtime's packages can be imported; runs with the runtime's own python."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.wire import Imports

    Found = dict[str, dict[str, str | None]]

PREFIX = "sparkctl-import-"
STALE_AFTER = 3600.0  # seconds; a call has minutes
# Variables that name folders where the packages write.
GENERAL = ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
OWN = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT")
# In a process of its own, which a torch of another ABI may crash; a line after each import.
PROGRAM = """\
import importlib, json, sys
mark, *names = sys.argv[1:]
for name in names:
    try:
        module = importlib.import_module(name)
        found = {"version": getattr(module, "__version__", ""), "error": None}
    except BaseException as error:
        found = {"version": None, "error": f"{type(error).__name__}: {error}"}
    print(mark + json.dumps({name: found}), flush=True)
"""


def imports(request: Imports) -> Found:
    """For each of `modules`: `version`, or `error` with why it cannot be imported.

    What the packages write meanwhile is removed.
    """
    names = request["modules"]
    with _scratch() as scratch:
        folders = dict.fromkeys(GENERAL + OWN, scratch)
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", PROGRAM, PREFIX, *names],
            env={**os.environ, **folders},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    error = f"python ended while importing: {last}"
    found: Found = {name: {"version": None, "error": error} for name in names}
    for line in done.stdout.splitlines():
        mark, prefix, text = line.partition(PREFIX)
        if prefix and not mark:  # packages print too
            found.update(json.loads(text))
    return found


@contextmanager
def _scratch() -> Iterator[str]:
    """A folder that is removed in the end, also when timeout(1) sends TERM.

    A later call removes one that a KILL has left.
    """

    def end(_number: int, _frame: object) -> None:
        sys.exit(124)

    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.getuid() and status.st_mtime < time.time() - STALE_AFTER:
                shutil.rmtree(path)
    before = signal.signal(signal.SIGTERM, end)
    try:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as scratch:
            yield scratch
    finally:
        signal.signal(signal.SIGTERM, before)
