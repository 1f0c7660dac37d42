"""The controller's side on macOS, as far as types show it, and on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINUX = ("node", "lab")  # what runs on nodes and on the lab's machine


def test_the_controller_uses_no_name_that_macos_lacks(tmp_path: Path) -> None:
    options = ["--platform", "darwin", "--cache-dir", str(tmp_path), "--follow-imports", "silent"]
    files = (ROOT / "sparkctl").rglob("*.py")
    ours = [str(p) for p in files if p.relative_to(ROOT / "sparkctl").parts[0] not in LINUX]
    argv = [sys.executable, "-m", "mypy", *options, *ours]
    # With PYTHONPATH mypy may take the modules for installed ones, whose errors it does not show.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        argv, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_windows_is_refused_in_one_line() -> None:
    code = "import sys; sys.platform = 'win32'\nfrom sparkctl.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: sparkctl does not run on Windows; ")
    assert "WSL" in done.stderr
    assert done.stderr.count("\n") == 1
