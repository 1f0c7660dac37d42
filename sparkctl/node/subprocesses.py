"""Programs that are started early and read late, so that slow ones run in parallel."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What docker and podman print after the reason (docker 20.10 to 29, podman 4 and 5).
HINT = re.compile(r"(Run|See) '[\w .-]+ --help'|Usage: ")


def reason(printed: Iterable[str]) -> str:
    """The last line that says something, as programs end with why they failed; empty without one.

    A hint at `--help` is none, nor is the usage.
    """
    lines = [line.strip() for line in printed]
    return next((line for line in reversed(lines) if line and not HINT.match(line)), "")


class ExitError(ChildProcessError):
    """A program's exit status is not 0; `printed` is all that it printed."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed


class Ended(NamedTuple):
    """What a program printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line that it printed, of its errors if there are any, but for hints."""
        return reason(self.err.splitlines()) or reason(self.out.splitlines()) or "no output"


class Started(NamedTuple):
    """A program that runs, or the error that kept it from starting."""

    name: str
    process: subprocess.Popen[str] | OSError
    stdin: str | None = None

    def finish(self, timeout: float) -> str:
        """What it printed. Raises OSError if it could not be started or failed: TimeoutError after
        `timeout` seconds, FileNotFoundError if it is not installed, PermissionError, ExitError.
        """
        ended = self.wait(timeout)
        if ended.status:
            message = f"{self.name} exited with status {ended.status}: {ended.last}"
            raise ExitError(message, f"{ended.out}\n{ended.err}")
        return ended.out

    def wait(self, timeout: float) -> Ended:
        """How it ended, whatever its status; raises OSError as `finish` does for the rest."""
        if isinstance(self.process, OSError):
            raise self.process
        try:
            out, err = self.process.communicate(self.stdin, timeout)
        except subprocess.TimeoutExpired:
            # Its children may keep the pipes open, so kill the whole group and read nothing.
            # One that became root, as sudo does, stays.
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            raise TimeoutError(f"{self.name} timed out after {timeout:g} s") from None
        return Ended(self.process.returncode, out, err)


def start(argv: Sequence[str], *, stdin: str | None = None, **environment: str) -> Started:
    """Start a program in a process group of its own, with these variables besides its own.

    It gets the text `stdin` while it is waited for.
    """
    process: subprocess.Popen[str] | OSError
    try:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        process = type(error)(f"{argv[0]}: {error.strerror}")
    return Started(argv[0], process, stdin)
