"""Screens as they are expected: tests/fixtures/screens/NAME-COLUMNS.txt.

SPARKCTL_WRITE_SCREENS=1 writes them; read what changed before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from tests.screen import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTHS = (60, 80, 100, 120)  # columns
BEYOND = 200  # columns by which the screen is wider than the program knows
FOLDER = Path(__file__).parent / "fixtures" / "screens"
WRITES = "SPARKCTL_WRITE_SCREENS"


def same_screen(
    name: str,
    argv: Sequence[str],
    columns: int,
    *,
    whole: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    wraps: bool = False,
) -> list[str]:
    """Run a program on a terminal of so many columns; gives the rows of its screen.

    No row is wider than the terminal, each of `whole` (names) is there uncut, and the screen is the
    one that is expected. With `wraps` the terminal may break rows, as those of a log.
    """
    size = {"columns": columns, "rows": 200, "beyond": 0 if wraps else BEYOND}
    with Terminal(argv, environment=environment, **size) as terminal:
        rows = terminal.ended()
    text = "\n".join(rows) + "\n"
    assert all(cell_len(row) <= columns for row in rows), text
    assert [each for each in whole if each not in text] == []
    path = FOLDER / f"{name}-{columns}.txt"
    if os.environ.get(WRITES):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    return rows
