"""What the line of the nodes waited for says."""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING

from sparkctl.output.waits import WaitLine, described, fitted

if TYPE_CHECKING:
    import pytest


class Tty(StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def test_nodes_are_named_by_what_is_waited_for() -> None:
    waits = [
        ("connecting", "spark-3"),
        ("importing torch", "spark-1"),
        ("trying the peers", "spark-1"),
        ("importing torch", "spark-2"),
        ("importing torch", "spark-2"),
    ]
    assert described(waits) == (
        "connecting: spark-3; importing torch: spark-1, spark-2; trying the peers: spark-1"
    )
    assert described([]) == "working"


def test_it_takes_one_line_and_keeps_the_time() -> None:
    assert fitted("connecting: spark-2", 65, 80) == "connecting: spark-2 (1 min 05 s)"
    line = fitted("connecting: " + "spark-2, " * 20, 4, 80)
    assert len(line) == 79
    assert line.endswith("… (4 s)")


def test_what_is_fast_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Tty()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sparkctl.output.waits.PATIENCE", 60.0)
    with WaitLine() as line:
        line.watch(lambda: [("connecting", "spark-1")])
    assert stderr.getvalue() == ""
