"""Rows that are drawn again and again, on a terminal that is resized, cleared and suspended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from operator import eq
from typing import TYPE_CHECKING

import pytest

from tests.screen import BOUND, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each line on stdin is one statement of the child; its rows are `text`, cut to the width.
CHILD = """
import sys
from rich.text import Text
from sparkctl.output.progress.area import LiveArea
texts = ["one"]
def rows(columns):
    return [Text((text * 100)[: columns - 1]) for text in texts]
area = LiveArea(rows)
print("above", file=sys.stderr)
area.start()
for line in sys.stdin:
    exec(line)
area.stop()
print("below", file=sys.stderr)
"""
ABOVE = ["above"]
ROWS = 24


@pytest.fixture
def child() -> Iterator[Terminal]:
    argv = [sys.executable, "-c", CHILD]
    with Terminal(argv, columns=40, rows=ROWS, stdin=subprocess.PIPE) as terminal:
        yield terminal


def do(child: Terminal, statement: str) -> None:
    assert child.process.stdin
    child.process.stdin.write(statement.encode() + b"\n")
    child.process.stdin.flush()


def row(text: str, columns: int) -> str:
    return (text * 100)[: columns - 1]


@pytest.mark.parametrize("reflow", [True, False])
def test_a_resize_leaves_no_remnant_and_takes_no_line_above(child: Terminal, reflow: bool) -> None:
    do(child, "texts[:] = ['one', 'two', 'three']")
    child.until(lambda lines: lines[1:] == [row(t, 40) for t in ("one", "two", "three")])
    for columns in (13, 38, 9, 40):
        child.resize(columns, reflow=reflow)
        expected = [*ABOVE, *(row(t, columns) for t in ("one", "two", "three"))]
        child.until(partial(eq, expected))
    assert child.process.stdin
    child.process.stdin.close()
    assert child.ended() == [*ABOVE, "below"]


def test_what_is_printed_stays_above(child: Terminal) -> None:
    do(child, "area.print('a note ' + 'of words ' * 5)")
    note = ["a note of words of words of words of", "  words of words"]
    child.until(lambda lines: lines == [*ABOVE, *note, row("one", 40)])
    do(child, "texts.clear()")
    child.until(lambda lines: lines == [*ABOVE, *note])


def test_rows_without_room_are_counted(child: Terminal) -> None:
    do(child, "texts[:] = [f'{n} ' for n in range(40)]")
    lines = child.until(lambda lines: "more rows" in lines[-1])
    assert lines[-1] == f"… {40 - ROWS + 2} more rows"
    assert lines[0] == "above"  # the rows take all but one of the screen
    do(child, "texts[:] = ['one']")
    child.until(lambda lines: lines[-1] == row("one", 40))


def test_rows_may_stay_at_the_end(child: Terminal) -> None:
    do(child, "area.stop(keep=True); area = LiveArea(lambda columns: []); area.start()")
    assert child.process.stdin
    child.process.stdin.close()
    assert child.ended() == [*ABOVE, row("one", 40), "below"]


def test_the_cursor_is_there_again_at_the_end_and_while_suspended() -> None:
    # A shell's job: the kernel suspends no process that only another session could resume.
    argv = [sys.executable, "-c", CHILD]
    with Terminal(
        argv,
        columns=40,
        rows=ROWS,
        stdin=subprocess.PIPE,
        start_new_session=False,
        process_group=0,
    ) as child:
        child.until(lambda lines: lines[-1] == row("one", 40))
        assert child.cursor_hidden
        child.process.send_signal(signal.SIGTSTP)
        child.until(lambda lines: lines == ABOVE)
        until_stopped(child.process.pid)
        assert not child.cursor_hidden
        child.process.send_signal(signal.SIGCONT)
        child.until(lambda lines: lines[-1] == row("one", 40))
        assert child.process.stdin
        child.process.stdin.close()
        child.ended()
        assert not child.cursor_hidden


def test_the_cursor_stays_where_ctrl_z_cannot_be_caught(child: Terminal) -> None:
    do(child, "import threading; area.stop(); area = LiveArea(rows); texts[:] = ['two']")
    do(child, "t = threading.Thread(target=area.start); t.start(); t.join()")
    child.until(lambda lines: lines[-1] == row("two", 40))
    assert not child.cursor_hidden


def until_stopped(pid: int) -> None:
    deadline = time.monotonic() + BOUND
    while os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
