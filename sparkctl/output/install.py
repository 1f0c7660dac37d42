"""The progress of an installation, a line a node on a terminal, and what was done."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from sparkctl.output.spans import duration, elapsed
from sparkctl.output.stdio import print_err, print_json, print_out
from sparkctl.output.terminal import live_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.live import Live
    from rich.table import Table

    from sparkctl.operations.install.run import Done, Report

log = logging.getLogger(__name__)


class PlainLines:
    """A line for each node's next stage, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._stages: dict[str, str] = {}
        self._lock = Lock()

    def show(self, node: str, stage: str, detail: str = "") -> None:
        """Print the stage, once; the log on the node has the details."""
        del detail
        with self._lock:
            if self._stages.get(node) != stage:
                self._stages[node] = stage
                self._line(f"{node}: {stage}")

    def end(self, node: str, text: str, *, failed: bool = False) -> None:
        """Print it."""
        self._line(f"{node}: {'failed: ' if failed else ''}{text}")

    def pause(self) -> None:
        """Nothing is drawn."""

    def note(self, text: str) -> None:
        """Print it."""
        self._line(text)

    def _line(self, text: str) -> None:
        log.debug("%s", text)
        with suppress(OSError):  # a rollback must go on
            print_err(f"[{time.monotonic() - self._start:6.1f}s] {text}")


@dataclass
class Row:
    """A node's line; `mark` is empty while it goes on."""

    stage: str
    detail: str = ""
    mark: str = ""
    took: str = ""


class LiveLines:
    """A line a node, redrawn: its stage, the last line of its log, the time."""

    def __init__(self) -> None:
        from sparkctl.output.console import console

        self._console = console(stderr=True)
        self._start = time.monotonic()
        self._rows: dict[str, Row] = {}
        self._lock = Lock()
        self._live: Live | None = None

    def show(self, node: str, stage: str, detail: str = "") -> None:
        """Draw it from now on."""
        with self._lock:
            if self._rows.get(node, Row("")).stage != stage:
                log.debug("%s: %s", node, stage)
            self._rows[node] = Row(stage, detail)
            self._begin()

    def end(self, node: str, text: str, *, failed: bool = False) -> None:
        """Draw its mark and time."""
        log.debug("%s: %s", node, text)
        with self._lock:
            took = duration(time.monotonic() - self._start)
            self._rows[node] = Row(text, "", "✗" if failed else "✓", took)
            self._begin()

    def note(self, text: str) -> None:
        """Print it above the lines."""
        from sparkctl.output.console import print_prose

        log.debug("%s", text)
        with suppress(OSError):
            print_prose(self._console, text, hang=2)

    def pause(self) -> None:
        """Leave the lines as they are; later ones are below."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
            self._live, self._rows = None, {}

    def _begin(self) -> None:
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=8,
                redirect_stdout=False,  # which may be a file
            )
            self._live.start(refresh=True)

    def _draw(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        lines = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, None, 1, None):
            lines.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
        for name, row in dict(self._rows).items():
            style = {"✓": "green", "✗": "bold red"}.get(row.mark, "")
            text = f"{row.stage}: {row.detail}" if row.detail else row.stage
            clock = row.took or elapsed(time.monotonic() - self._start)
            lines.add_row(Text(row.mark or "…", style), name, Text(text), Text(clock, "dim"))
        return lines


@contextmanager
def progress() -> Iterator[PlainLines | LiveLines]:
    """The progress that fits stderr; with --debug it is a log, which redrawn lines would tear."""
    if not live_stderr() or logging.getLogger().isEnabledFor(logging.DEBUG):
        yield PlainLines()
        return
    live = LiveLines()
    try:
        yield live
    finally:
        with suppress(OSError):
            live.pause()


def print_report(report: Report, *, as_json: bool) -> None:
    """Print what each node has now."""
    if as_json:
        print_json(
            {
                "cluster": report.cluster,
                "changed": any(done.action != "unchanged" for done in report.nodes.values()),
                "nodes": {name: _document(done) for name, done in report.nodes.items()},
                "doubts": [doubt.document() for doubt in report.doubts],
            }
        )
        return
    for name, done in report.nodes.items():
        versions = ", ".join(f"{package} {version}" for package, version in done.versions.items())
        print_out(f"{name}: {done.action}: {done.venv} has Python {done.python}, {versions}")


def _document(done: Done) -> dict[str, object]:
    return {
        "action": done.action,
        "venv": done.venv,
        "python": done.python,
        "versions": {**done.versions},
        "log": done.log,
    }
