"""A table that fits the terminal: it drops the least important columns and cuts no cell."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rich.cells import cell_len, chop_cells
from rich.text import Text

from sparkctl.output.console import broken
from sparkctl.output.prose import WORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

T = TypeVar("T")

GAP = 2  # spaces between columns
INDENT = 4  # spaces before what goes on in the next line
PROSE = 24  # columns below which words are not wrapped
LEAST = 2  # columns that always stay: a name alone says nothing
NONE = "-"  # the cell of a value that is not there
KEPT = math.inf  # the rank of a column that is never dropped


@dataclass(frozen=True)
class Column:
    """A title and its cells, one a row.

    The columns of the lowest `rank` are dropped first, a `hidden` one is for `-o wide` alone. The
    cells of `prose` wrap between words; it is the last column. `styles` are by a cell's text.
    """

    title: str
    cells: Sequence[str]
    rank: float
    hidden: bool = False
    prose: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Of its widest cell, in the terminal's columns."""
        return max(map(cell_len, (self.title, *self.cells)))

    @property
    def least(self) -> int:
        """The width below which it has no room."""
        if not self.prose:
            return self.width
        words = (word[0].strip() for cell in self.cells for word in WORD.finditer(cell))
        return min(self.width, max(PROSE, *map(cell_len, (self.title, *words))))

    def text(self, row: int) -> Text:
        """The cell of a row in its style."""
        cell = self.cells[row]
        return Text(cell, self.styles.get(cell, ""))


def filled(values: Iterable[T | None], shown: Callable[[T], str] = str) -> list[str]:
    """The cells of these values; a dash where there is none."""
    return [NONE if value is None else shown(value) for value in values]


def width_of(console: Console) -> int:
    """The columns of its terminal; without bound where it is none."""
    return console.width if console.is_terminal else sys.maxsize


def print_table(console: Console, columns: Sequence[Column], *, wide: bool = False) -> None:
    """Print the columns that fit the terminal; where stdout is none, all that are not hidden.

    With `wide` all columns are printed.
    """
    for line in render(columns, width_of(console), wide=wide):
        console.print(line, soft_wrap=True)


def fit(
    columns: Sequence[Column], width: int, *, wide: bool = False
) -> tuple[list[Column], list[Column]]:
    """The columns that a line of `width` has room for, and those that go below it, in their order.

    Nothing is below but what is KEPT, or one of the two most important, or, with `wide`, all else.
    """
    known = [column for column in columns if wide or not column.hidden]
    ranked = sorted(known, key=lambda column: -column.rank)
    line: list[Column] = []
    below: list[Column] = []
    for number, column in enumerate(ranked):
        if not line or _total([*line, column]) <= width:
            line.append(column)
        elif wide or column.rank == KEPT or number < LEAST:
            below.append(column)
        else:
            break
    return sorted(line, key=known.index), sorted(below, key=known.index)


def render(columns: Sequence[Column], width: int, *, wide: bool = False) -> list[Text]:
    """The lines of the table: the titles, then the rows.

    What has no room in a row's line goes on below it, each column after its title; a cell that is
    wider than `width` goes on in the next line.
    """
    line, below = fit(columns, width, wide=wide)
    lines = list(_line([Text(column.title, "bold") for column in line], line, 0, width))
    for row in range(len(columns[0].cells)):
        lines += _line([column.text(row) for column in line], line, 0, width)
        for column in below:
            if column.cells[row] != NONE:
                lines += _labelled(column, row, width)
    return lines


def _labelled(column: Column, row: int, width: int) -> Iterator[Text]:
    """A cell after its column's title; below it where it would be broken otherwise."""
    label, cell = Text(column.title, "dim"), column.text(row)
    if column.prose or INDENT + label.cell_len + GAP + cell.cell_len <= width:
        yield from _line([label, cell], [Column(column.title, (), KEPT), column], INDENT, width)
    else:
        yield Text(" " * INDENT) + label
        yield from _line([cell], [column], 2 * INDENT, width)


def _total(columns: Sequence[Column]) -> int:
    return sum(column.least for column in columns) + GAP * (len(columns) - 1)


def _line(
    cells: Sequence[Text], columns: Sequence[Column], indent: int, width: int
) -> Iterator[Text]:
    """The cells after so many spaces, and the lines in which the last one goes on."""
    line = Text(" " * indent)
    for cell, column in zip(cells[:-1], columns[:-1], strict=True):
        line += cell + Text(" " * (column.width - cell.cell_len + GAP))
    start, last = line.cell_len, cells[-1]
    room = max(1, width - start)
    if columns[-1].prose:
        parts = broken(last, room)
    else:
        parts = [Text(text, last.style) for text in chop_cells(last.plain, room)] or [Text()]
    for number, part in enumerate(parts):
        whole = (Text(" " * start) if number else line) + part
        whole.rstrip()
        yield whole
