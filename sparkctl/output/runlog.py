"""The debug log of a run, kept on the controller: what --debug shows, also without it."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sparkctl import __version__, kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import TextIOWrapper

MOST = 64 * 2**20  # bytes of one run's log: `status --watch` may run for days
EVERY = 1.0  # seconds between two flushes
READS = ".run.log"  # ends the names of the logs
CHANGES = ".change.log"  # of runs that may change nodes: `status` does not push them out
LOGGERS = ("sparkctl", "paramiko")  # paramiko's level is up to the caller

log = logging.getLogger(__name__)


class SafeFormatter(logging.Formatter):
    """Times and messages, without secrets and control characters."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, and below it the traceback of its error."""
        from sparkctl.output.safe import trace

        record.message, record.asctime = _message(record), self.formatTime(record, self.datefmt)
        line = self.formatMessage(record)
        error = record.exc_info[1] if record.exc_info else None
        return f"{line}\n{trace(error)}" if error else line


def _message(record: logging.LogRecord) -> str:
    from sparkctl.output.safe import safe

    args = record.args
    if not args or not isinstance(args, tuple) or not record.name.startswith("sparkctl"):
        return safe(record.getMessage())
    # sparkctl's own templates hold no secret; most arguments recur, and `safe` remembers them.
    filled = (arg if isinstance(arg, (int, float)) else safe(str(arg)) for arg in args)
    return str(record.msg) % tuple(filled)


class RunLog(logging.FileHandler):
    """A file of its own for a run, made at its first record: a run that has none leaves none.

    An error of the disk ends the log, not the command.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{os.urandom(2).hex()}{READS}"
        super().__init__(kept.folder() / name, "w", delay=True)
        self.setFormatter(SafeFormatter())
        self._argv = argv
        self._flushed = 0.0
        self._failed = self._full = False

    def named(self) -> Path | None:
        """The file, with all that was logged; None where there is none or it lacks a part."""
        if self.stream is not None:
            try:
                super().flush()
            except OSError:
                self._failed = True
        return None if self._failed or self.stream is None else Path(self.baseFilename)

    def changes(self) -> None:
        """Keep this log with those of the runs that may change nodes."""
        path = Path(self.baseFilename)
        new = path.with_name(path.name.removesuffix(READS) + CHANGES)
        if path.name.endswith(READS):
            if self.stream is not None:
                try:
                    kept.rename(path.name, new.name)
                except OSError:
                    return
            self.baseFilename = str(new)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, as long as the file can be written and is not full."""
        if not self._failed and not self._full:
            try:
                super().emit(record)
            except OSError:
                self._failed = True

    def flush(self) -> None:
        """Write what is buffered, at most once in EVERY seconds: no command waits for a disk."""
        if time.monotonic() - self._flushed >= EVERY:
            self._flushed = time.monotonic()
            super().flush()
            self._full = self.stream is not None and self.stream.tell() > MOST

    def close(self) -> None:
        """Write what is buffered and close the file."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """End the log; the standard library would print a traceback."""
        self._failed = True

    def _open(self) -> TextIOWrapper:
        from sparkctl.output.safe import safe

        stream = kept.create(Path(self.baseFilename).name)
        python = ".".join(map(str, sys.version_info[:3]))
        system = os.uname()
        versions = f"sparkctl {__version__}, Python {python}, {system.sysname} {system.release}"
        command = shlex.join(["sparkctl", *self._argv])
        stream.write(safe(f"{versions}, times are UTC{time.strftime('%z')}\nargv: {command}\n"))
        return stream


@contextmanager
def recorded(argv: Sequence[str]) -> Iterator[None]:
    """Within it all that is logged goes to a file for this command line, if one can be written."""
    try:
        handler = RunLog(argv)
    except OSError:
        yield
        return
    ours = logging.getLogger("sparkctl")
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        ours.setLevel(logging.NOTSET)
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def path() -> Path | None:
    """The log of this run, None where there is none."""
    return next((handler.named() for handler in _handlers()), None)


def changes() -> None:
    """Note that this run may change nodes."""
    for handler in _handlers():
        handler.changes()


def _handlers() -> list[RunLog]:
    return [h for h in logging.getLogger("sparkctl").handlers if isinstance(h, RunLog)]


def ended(code: int) -> None:
    """Log the exit code, if the run has a log."""
    if path():
        log.debug("exit code %d", code)


def show() -> None:
    """Print all that is logged on stderr as well."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter())
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])
