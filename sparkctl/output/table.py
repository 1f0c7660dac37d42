"""A table that fits the terminal: it drops the least important columns and cuts none."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from rich.cells import cell_len, chop_cells
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

T = TypeVar("T")

GAP = 2  # spaces between columns


@dataclass(frozen=True)
class Column:
    """A title and its cells, one a row.

    The columns of the lowest `rank` are dropped first; `short` replaces the column before any is
    dropped.
    """

    title: str
    cells: Sequence[str]
    rank: int
    short: Column | None = None

    @property
    def width(self) -> int:
        """Of its widest cell, in the terminal's columns."""
        return max(map(cell_len, (self.title, *self.cells)))


def filled(values: Iterable[T | None], shown: Callable[[T], str] = str) -> list[str]:
    """The cells of these values; a dash where there is none."""
    return ["-" if value is None else shown(value) for value in values]


def print_table(console: Console, columns: Sequence[Column]) -> None:
    """Print the columns that fit the terminal; all of them where stdout is not one."""
    for line in render(columns, console.width if console.is_terminal else sys.maxsize):
        console.print(line, soft_wrap=True)


def fit(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns, in their order, that fit into `width`; at least one."""
    shown = list(columns)
    if _total(shown) > width:
        shown = [column.short or column for column in shown]
    while _total(shown) > width and len(shown) > 1:
        shown.remove(min(shown, key=lambda column: column.rank))
    return shown


def render(columns: Sequence[Column], width: int) -> list[Text]:
    """The lines of the table: the titles, then the rows.

    A cell that is wider than `width` goes on in the next line.
    """
    shown = fit(columns, width)
    rows = zip(*(column.cells for column in shown), strict=True)
    lines = [_line([column.title for column in shown], shown)]
    lines[0].stylize("bold")
    for row in rows:
        if len(shown) == 1:
            lines += map(Text, chop_cells(row[0], width))
        else:
            lines.append(_line(row, shown))
    return lines


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def _line(cells: Sequence[str], columns: Sequence[Column]) -> Text:
    padded = (
        cell + " " * (column.width - cell_len(cell) + GAP)
        for cell, column in zip(cells, columns, strict=True)
    )
    return Text("".join(padded).rstrip())
