"""The controller's side on macOS, as far as types show it, and on Windows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("cli", "doctor", "operations", "output", "remote")  # with all that they import


def test_the_controller_uses_no_name_that_macos_lacks(tmp_path: Path) -> None:
    options = ["--platform", "darwin", "--cache-dir", str(tmp_path)]
    rooms = [f"sparkctl/{room}" for room in ROOMS]
    argv = [sys.executable, "-m", "mypy", *options, *rooms]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_windows_is_refused_in_one_line() -> None:
    code = "import sys; sys.platform = 'win32'\nfrom sparkctl.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: sparkctl does not run on Windows; ")
    assert "WSL" in done.stderr
    assert done.stderr.count("\n") == 1
