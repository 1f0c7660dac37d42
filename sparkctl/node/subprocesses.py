"""Read-only programs, started early and read late, so that the slow ones run side by side."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import NamedTuple


class Started(NamedTuple):
    """A program that runs; `problem` when it could not be started."""

    name: str
    process: subprocess.Popen[str] | None
    problem: str | None = None

    def finish(self, timeout: float) -> tuple[str | None, str | None]:
        """(what it printed, None), or (None, why nothing) after `timeout` seconds at most."""
        if self.process is None:
            return None, self.problem
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # Its children may keep the pipes open, so the whole group goes and nothing is read.
            # One that became root, as sudo does, stays.
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            return None, f"{self.name} did not answer within {timeout:g} s"
        if self.process.returncode:
            said = (err.strip() or out.strip() or "nothing").splitlines()[-1]
            return None, f"{self.name} ended with status {self.process.returncode}: {said}"
        return out, None


def start(argv: list[str]) -> Started:
    """Start a program in a process group of its own."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Started(argv[0], None, f"{argv[0]}: {error.strerror}")
    return Started(argv[0], process)
