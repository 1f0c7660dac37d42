"""Running one program that changes this node, as a remedy does: `ip link set`, `sysctl`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run `argv` to its end; the call fails with what it printed last when it fails."""
    argv = request["argv"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        sys.exit(f"{argv[0]} ended with status {done.returncode}: {said}")
    return {}
