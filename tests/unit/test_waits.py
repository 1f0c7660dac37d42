"""The rows of the nodes that are waited for, and of a step's parts."""

from __future__ import annotations

import sys
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from sparkctl.events import Wait
from sparkctl.output.progress.rows import Clocked, named_rows, step_rows, waited
from sparkctl.output.progress.waits import WaitRows

if TYPE_CHECKING:
    from rich.text import Text

NOW = 100.0


class Tty(StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def shown(rows: list[Text], width: int) -> list[str]:
    assert all(row.cell_len <= width for row in rows)
    return [row.plain for row in rows]


def test_a_node_has_one_row_with_all_that_it_is_waited_for_and_the_longest_time() -> None:
    waits = [
        Wait("connecting", "spark-3", 96.0),
        Wait("trying the peers", "spark-1", 98.0),
        Wait("importing torch", "spark-1", 35.0),
        Wait("importing torch", "spark-1", 99.0),
        Wait("read the node's facts", "spark-20", 99.5),  # has not lasted long enough
    ]
    rows = named_rows(waited(waits, NOW), NOW, 60)
    assert shown(rows, 60) == [
        "  spark-3  connecting  4 s",
        "  spark-1  importing torch, trying the peers  1 min 05 s",
    ]
    assert waited(waits, NOW, but=["spark-1", "spark-3"]) == []


def test_a_name_is_never_cut() -> None:
    name = "node-" * 9 + "1"
    wide = "read the facts of this node and of all that run there"
    doing = Clocked(96.0, wide, detail="Collecting nvidia-cuda-runtime")
    for width in (30, 50, 60, 80, 120):
        rows = shown(named_rows([("a", Clocked(0.0, "x")), (name, doing)], NOW, width), width)
        assert name in "".join(row.strip() for row in rows)
        assert " ".join(" ".join(rows[1:]).split()).count("4 s") == 1
    assert rows[1] == f"  {name}  {wide}  4 s"
    alone = shown(named_rows([("spark-1", doing)], NOW, 84), 84)
    assert alone == [f"  spark-1  {wide}  4 s  Collecting n…"]


@pytest.mark.parametrize("width", [-1, 0, 1, 2, 5])
def test_there_is_always_room_for_a_row(width: int) -> None:
    """Also where a terminal has no columns: the drawing must not go on for ever."""
    doing = Clocked(40.0, "compiling", 42, "a detail", "first boot 10 to 40 min")
    assert step_rows("wait for vLLM", doing, NOW, width)
    assert named_rows([("spark-1", doing)], NOW, width)


def test_a_step_goes_on_below_where_its_row_has_no_room() -> None:
    doing = Clocked(40.0, "compiling", 42, usual="first boot 10 to 40 min")
    bar = "━" * 6 + "─" * 10
    assert shown(step_rows("wait for vLLM", doing, NOW, 120), 120)[0][1:] == (
        f" wait for vLLM: compiling  {bar}  42%  1 min 00 s  first boot 10 to 40 min"
    )
    rows = shown(step_rows("wait for vLLM", doing, NOW, 64), 64)
    assert rows[0][1:] == f" wait for vLLM: compiling  {bar}  42%  1 min 00 s"
    assert rows[1:] == ["  first boot 10 to 40 min"]
    units = ", ".join(f"Ray worker on spark-{n}" for n in range(1, 6))
    rows = shown(step_rows(f"start {units}", doing, NOW, 60), 60)
    assert " ".join(" ".join(rows[:3]).split())[2:] == f"start {units} 1 min 00 s"
    assert rows[3:] == [f"  compiling  {bar}  42%  first boot 10 to 40 min"]


def test_what_is_fast_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Tty()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sparkctl.output.progress.waits.PATIENCE", 60.0)
    with WaitRows() as rows:
        rows.watch(lambda: [Wait("connecting", "spark-1", 0.0)])
    assert stderr.getvalue() == ""
