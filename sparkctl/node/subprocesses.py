"""Programs that are started early and read late, so that slow ones run in parallel."""

from __future__ import annotations

import os
import re
import select
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST = 2**24  # bytes that a program may print; 200 containers of `inspect` take 2 MB
CHUNK = 2**16
LONGEST = 500  # characters of a program's own words in a reason
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

    def checked(self, name: str) -> str:
        """What the program of this name printed; raises ExitError if its status is not 0."""
        if self.status:
            message = f"{name} exited with status {self.status}: {self.last[:LONGEST]}"
            raise ExitError(message, f"{self.out}\n{self.err}")
        return self.out


class Started(NamedTuple):
    """A program that runs, or the error that kept it from starting."""

    name: str
    process: subprocess.Popen[bytes] | OSError
    stdin: str | None = None

    def finish(self, timeout: float) -> str:
        """What it printed. Raises OSError if it could not be started or failed: TimeoutError after
        `timeout` seconds, FileNotFoundError if it is not installed, PermissionError, ExitError.
        """
        return self.wait(timeout).checked(self.name)

    def wait(self, timeout: float, most: int = MOST) -> Ended:
        """How it ended, whatever its status; raises OSError as `finish` does for the rest, and
        ChildProcessError where it prints more than `most` bytes.
        """
        if isinstance(self.process, OSError):
            raise self.process
        try:
            out, err = _communicate(self.process, (self.stdin or "").encode(), timeout, most)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} timed out after {timeout:g} s") from None
        except OverflowError:
            raise ChildProcessError(f"{self.name} printed more than {most} bytes") from None
        finally:
            self.end()
        return Ended(self.process.returncode, out, err)

    def end(self) -> None:
        """Kill it unless it has ended, and close its pipes; it may have been waited for."""
        if isinstance(self.process, OSError):
            return
        if self.process.returncode is None:
            # Its children may keep the pipes open, so the whole group is killed. One that became
            # root, as sudo does, stays.
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def start(argv: Sequence[str], *, stdin: str | None = None, **environment: str) -> Started:
    """Start a program in a process group of its own, with these variables besides its own.

    It gets the text `stdin` while it is waited for.
    """
    process: subprocess.Popen[bytes] | OSError
    try:
        process = subprocess.Popen(
            argv,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        process = type(error)(f"{argv[0]}: {error.strerror}")
    return Started(argv[0], process, stdin)


def _communicate(
    process: subprocess.Popen[bytes], stdin: bytes, timeout: float, most: int
) -> tuple[str, str]:
    """What a program prints until its end; it gets `stdin` meanwhile.

    Raises TimeoutExpired, and OverflowError where it prints more than `most` bytes, all of which
    Popen.communicate would keep.
    """
    deadline = time.monotonic() + timeout
    out, err, given = bytearray(), bytearray(), 0
    with selectors.DefaultSelector() as selector:
        for pipe, data in ((process.stdout, out), (process.stderr, err), (process.stdin, None)):
            if pipe is not None:
                events = selectors.EVENT_WRITE if data is None else selectors.EVENT_READ
                selector.register(pipe, events, data)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, timeout)
            for key, _ in selector.select(left):
                if key.data is not None:
                    chunk = os.read(key.fd, CHUNK)
                    key.data.extend(chunk)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    continue
                given += _give(key.fd, stdin[given : given + select.PIPE_BUF])
                if given >= len(stdin) and process.stdin:
                    selector.unregister(key.fileobj)
                    process.stdin.close()
            if len(out) + len(err) > most:
                raise OverflowError
    process.wait(max(0.0, deadline - time.monotonic()))
    return _text(out), _text(err)


def _give(fd: int, chunk: bytes) -> int:
    """Write to a pipe that takes as much at once; returns the length, or more if nobody reads."""
    try:
        return os.write(fd, chunk)
    except BrokenPipeError:
        return sys.maxsize


def _text(printed: bytearray) -> str:
    """With line ends as text files have them here."""
    return printed.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
