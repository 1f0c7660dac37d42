"""Text on a terminal, broken between words, or as plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from sparkctl.output.clean import raw
from sparkctl.output.prose import breaks
from sparkctl.output.terminal import USUAL
from sparkctl.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.segment import Segment


class CleanConsole(Console):
    """A console that escapes control characters in text, not rich's own."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As Console.render."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=clean(segment.text))


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A console on stdout or stderr; every console is made here."""
    stream = raw(sys.stderr if stderr else sys.stdout)
    made = CleanConsole(file=stream, highlight=False, **options)
    if not made.width:  # rich takes COLUMNS=0 as it is, and would show nothing
        made.width = USUAL
    return made


def wide_console() -> Console:
    """A console on stdout that does not break lines."""
    return console(soft_wrap=True)


def print_prose(console: Console, text: Text | str, hang: int = 0, *, margin: str = "") -> None:
    """Print prose, on a terminal by `broken`, elsewhere line by line as it is.

    Every line begins with `margin`.
    """
    width = console.width - cell_len(margin)
    for line in Text.assemble(text).split("\n", allow_blank=True):
        lines = broken(line, width, hang) if console.is_terminal else [line]
        for part in lines:
            console.print(Text(margin) + part, soft_wrap=True)


def broken(text: Text, width: int, hang: int = 0) -> list[Text]:
    """The lines of one line as `breaks` has them, without spaces at their ends."""
    first, *rest = text.divide(breaks(text.plain, width, hang))
    lines = [first, *(Text(" " * hang) + line for line in rest)]
    for line in lines:
        line.rstrip()
    return lines
