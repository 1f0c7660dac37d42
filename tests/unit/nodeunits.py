"""Units that are started on this machine as on a node, with real processes."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from sparkctl.node import launch, marks, processes, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLUSTER = f"units-{os.getpid()}"
ENGINE, RAY = "m/0/vllm/a", "m/0/ray/a"
RECORD: Any = {"unit": {}, "salt": "s", "argv": [], "environment": {}, "digest": "d", "who": "me"}
SLEEP = [sys.executable, "-c", "import time; time.sleep(300)"]
# Writes over its own environment where the kernel shows it, as setproctitle does.
WIPE = """\
import ctypes, os
fields = open('/proc/self/stat').read().rpartition(')')[2].split()
begin, end = int(fields[47]), int(fields[48])
ctypes.memset(begin, 0, end - begin)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This machine as a node; what was started there is ended."""
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    stop.stop({"cluster": CLUSTER, "grace": 0.1})


def start(argv: list[str], unit: str = ENGINE, run: str = "r1", **more: Any) -> Any:
    """The answer of launch.start."""
    request: Any = {"cluster": CLUSTER, "run": run, "unit": unit, "argv": argv, "env": {}}
    return launch.start(request | {"record": RECORD} | more)


def python(code: str) -> list[str]:
    """The argv that runs this code."""
    return [sys.executable, "-c", code]


def of(unit: str) -> list[processes.Process]:
    """The unit's processes."""
    return processes.ours(CLUSTER, units=[unit])


def shim() -> processes.Process:
    """The only shim."""
    (found,) = processes.ours(CLUSTER, [marks.LOG])
    return found


def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds, which takes no time on a machine that is free."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
