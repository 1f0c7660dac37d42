"""Running one program that changes this node, as a remedy does: `ip link set`, `sysctl`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sparkctl.node.wire import Answer, Change


def run(request: Change) -> Answer:
    """Run `argv` to its end; the call fails with the last line of its output if it fails.

    It stays in the call's process group, which ends with the call.
    """
    program, *_ = argv = request["argv"]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            argv, stdin=null, stdout=pipe, stderr=pipe, text=True, errors="replace"
        )
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")
    out, err = process.communicate()
    if process.returncode:
        last = (err.strip() or out.strip() or "no output").splitlines()[-1]
        sys.exit(f"{program} exited with status {process.returncode}: {last}")
    return {}
