"""What importing the runtime's packages leaves on a node: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from sparkctl.node import imports

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HANGING = """
from sparkctl.node import imports
imports.PROGRAM = "import os, time; open(os.environ['TMPDIR'] + '/begun', 'w'); time.sleep(60)"
imports.imports({"modules": []})
"""


def test_a_call_that_is_ended_removes_its_scratch(tmp_path: Path) -> None:
    """timeout(1) sends TERM to the whole process group."""
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(f"{imports.PREFIX}*/begun")):
        assert time.monotonic() < deadline, "it does not begin"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) != 0
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_call_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, age in (("old", 2 * imports.STALE_AFTER), ("new", 0.0)):
        path = tmp_path / f"{imports.PREFIX}{name}"
        (path / "cache").mkdir(parents=True)
        os.utime(path, (time.time() - age,) * 2)
    assert imports.imports({"modules": ["json"]})["json"]["error"] is None
    assert [p.name for p in tmp_path.iterdir()] == [f"{imports.PREFIX}new"]
