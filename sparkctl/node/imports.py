"""Whether the runtime's packages can really be imported; run with the runtime's own python."""

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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "sparkctl-import-"
STALE_AFTER = 3600.0  # seconds; a call has minutes

CACHES = ("TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT",
          "VLLM_CONFIG_ROOT", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")  # fmt: skip
# One after another in a process of its own: a torch of another ABI may end it.
PROGRAM = """\
import importlib, json, sys
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
        print(json.dumps([name, getattr(module, "__version__", ""), None]), flush=True)
    except BaseException as error:
        print(json.dumps([name, None, f"{type(error).__name__}: {error}"]), flush=True)
"""


def imports(request: dict[str, Any]) -> dict[str, Any]:
    """For each of `modules`: `version`, or `error` with why it cannot be imported.

    What the packages write while they are imported goes with the call.
    """
    names: list[str] = request["modules"]
    with _scratch() as scratch:
        caches = dict.fromkeys(CACHES, scratch)
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", PROGRAM, *names],
            env={**os.environ, **caches},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    found = {name: {"version": version, "error": error} for name, version, error in rows}
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    ended = {"version": None, "error": f"python ended while importing: {last}"}
    return {name: found.get(name, ended) for name in names}


@contextmanager
def _scratch() -> Iterator[str]:
    """A folder that goes with the call, also when timeout(1) ends it by TERM.

    One that a KILL has left goes with a later call.
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
