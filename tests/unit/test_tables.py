"""Tables at every width: no name is cut, and no row is wider than the terminal."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console

from sparkctl.output.status import rows
from sparkctl.output.table import KEPT, Column, print_table, render
from tests.golden import WIDTHS, same_screen
from tests.unit import statusscreen
from tests.unit.statusscreen import LONG, MODEL, NOW

PROGRAM = (sys.executable, "-m", "tests.unit.statusscreen")
NODES = {n: [f"spark-{i}" for i in range(1, n + 1)] for n in (2, 8)}
WHOLE = {
    "healthy": [*NODES[2], "http://192.0.2.11:30000/v1", "/models/m2"],
    "starting": [*NODES[2], "loading the model 42 %", MODEL],
    "unreachable": [LONG, "cannot connect to"],
    "eight": [*NODES[8], MODEL, "`sparkctl up`"],
}


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", WHOLE)
def test_the_status_is_the_one_that_is_expected(name: str, columns: int) -> None:
    same_screen(f"status-{name}", [*PROGRAM, name], columns, whole=WHOLE[name])


@pytest.mark.parametrize("columns", [60, 120])
def test_wide_has_every_column_at_any_width(columns: int) -> None:
    same_screen("status-wide", [*PROGRAM, "starting", "wide"], columns, whole=WHOLE["starting"])


def shown(columns: list[Column], width: int, *, wide: bool = False) -> list[str]:
    return [line.plain for line in render(columns, width, wide=wide)]


NAMES = Column("NODE", ["spark-1", LONG], KEPT)
PLAIN = [
    NAMES,
    Column("STATE", ["ready", "unreachable"], 3),
    Column("ROLE", ["head", "worker"], 1),
    Column("AGE", ["12 min", "-"], 2),
    Column("HOST", ["192.0.2.1", "-"], 0, hidden=True),
]


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
@pytest.mark.parametrize("wide", [False, True])
def test_no_cell_is_cut_and_no_row_is_wider(width: int, wide: bool) -> None:
    lines = shown(PLAIN, width, wide=wide)
    assert all(cell_len(line) <= width for line in lines)
    text = "".join(line.strip() for line in lines)
    assert LONG in text
    assert "unreachable" in text, "a name alone says nothing"
    assert ("192.0.2.1" in text) == wide


def test_what_is_least_important_goes_first() -> None:
    titles = {width: shown(PLAIN, width)[0].split() for width in (45, 54, 61, 300)}
    assert titles[300] == ["NODE", "STATE", "ROLE", "AGE"]
    assert titles[61] == ["NODE", "STATE", "ROLE", "AGE"]
    assert titles[54] == ["NODE", "STATE", "AGE"]
    assert titles[45] == ["NODE", "STATE"]


def test_what_has_no_room_in_its_row_goes_below_it() -> None:
    columns = [Column("A", ["1", "2"], KEPT), Column("B", ["x" * 12, "-"], KEPT)]
    assert shown(columns, 10) == ["A", "1", "    B", "        xx", *["        xx"] * 5, "2"]
    assert shown(columns, 20) == ["A  B", f"1  {'x' * 12}", "2  -"]
    assert shown([*columns[:1], Column("LABEL", ["x" * 9, "y"], KEPT)], 20)[1] == f"1  {'x' * 9}"


def test_prose_wraps_between_words_below_its_column() -> None:
    prose = Column("EFFECT", ["the cable is pulled out of the first cage"], KEPT, prose=True)
    assert shown([Column("FAULT", ["cable"], KEPT), prose], 34) == [
        "FAULT  EFFECT",
        "cable  the cable is pulled out of",
        "       the first cage",
    ]


def test_columns_align_by_what_the_terminal_needs_for_a_character() -> None:
    columns = [Column("NODE", ["節点", "b"], KEPT), Column("X", ["1", "2"], 0)]
    assert shown(columns, 40) == ["NODE  X", "節点  1", "b     2"]


def test_a_name_wider_than_the_terminal_goes_on_in_the_next_line() -> None:
    lines = shown([Column("N", ["節点" * 5], 0)], 6)
    assert all(cell_len(line) <= 6 for line in lines)
    assert "".join(lines[1:]) == "節点" * 5


def test_where_there_is_no_terminal_the_table_is_whole() -> None:
    text = StringIO()
    columns = [Column("NODE", ["x" * 300], 0), Column("ROLE", ["head"], 1)]
    print_table(Console(file=text, width=80), columns)
    assert text.getvalue() == f"NODE{' ' * 298}ROLE\n{'x' * 300}  head\n"


@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
@pytest.mark.parametrize("wide", [False, True])
def test_every_status_fits_any_terminal(width: int, wide: bool) -> None:
    """But for a word of prose that is wider by itself, such as a host's name: it stays whole."""
    for name in WHOLE:
        found = getattr(statusscreen, name)()
        for line in rows(found, NOW, width, wide=wide):
            assert line.cell_len <= width or len(line.plain.split()) == 1, (name, line.plain)
