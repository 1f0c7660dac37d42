"""The rows of a live area: a step, and below it its parts and the nodes it waits for; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from sparkctl.output.console import broken
from sparkctl.output.spans import elapsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.events import Wait

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PACE = 12.5  # frames a second
BAR = 16  # columns
INDENT = 2
GAP = "  "  # between what is in a row
LEAST = 20  # columns that a row needs for more than a name
SOME = 12  # columns below which a part of a log's line says nothing
PATIENCE = 1.0  # seconds: what a node answers faster is not shown


class Clocked(NamedTuple):
    """What goes on since a moment (time.monotonic), with the fields of events.Doing."""

    since: float
    title: str = ""
    percent: int | None = None
    detail: str = ""
    usual: str = ""


def step_rows(title: str, doing: Clocked, now: float, width: int) -> list[Text]:
    """A step and its stage in rows of so many columns, with everything that there is.

    In one row if that has the room, else the stage and what is usual have rows of their own.
    """
    clock = Text(elapsed(now - doing.since), "dim")
    head = Text.assemble((FRAMES[int(now * PACE) % len(FRAMES)], "cyan"), f" {title}")
    if not doing.title:
        return tailed(head, clock, width)
    usual = Text(doing.usual, "dim")
    staged = Text.assemble(head, f": {doing.title}")
    for line, below in (
        (_joined(staged, *_figures(doing), clock, usual), Text()),
        (_joined(staged, *_figures(doing), clock), usual),
    ):
        if line.cell_len <= width:
            return [line, *_indented(below, width)]
    stage = _joined(Text(doing.title), *_figures(doing), usual)
    if stage.cell_len + INDENT > width:
        rows = [_joined(Text(doing.title), *_figures(doing)), usual]
    else:
        rows = [stage]
    below_head = [row for each in rows for row in _indented(each, width)]
    return [*tailed(head, clock, width), *below_head]


def tailed(head: Text, tail: Text, width: int, gap: str = GAP) -> list[Text]:
    """The head in rows of so many columns; the tail, a time, stays whole at the end of the last."""
    *rows, last = _wrapped(head, width)
    line = Text.assemble(last, gap, tail)
    if line.cell_len <= width:
        return [*rows, line]
    return [*rows, last, Text(" " * INDENT) + tail]


def named_rows(doings: Sequence[tuple[str, Clocked]], now: float, width: int) -> list[Text]:
    """Rows of what goes on by name, such as `  spark-2  connecting  4 s`."""
    column = max((cell_len(name) for name, _ in doings), default=0)
    return [row for name, doing in doings for row in _named(name, doing, now, width, column)]


def waited(waits: Iterable[Wait], now: float, but: Iterable[str] = ()) -> list[tuple[str, Clocked]]:
    """What nodes are waited for longer than PATIENCE, what has lasted longest first; `but` these
    nodes.
    """
    found: dict[str, list[Wait]] = {}
    for wait in waits:
        if now - wait.since >= PATIENCE and wait.node not in but:
            found.setdefault(wait.node, []).append(wait)
    return [(node, _waited(sorted(each, key=lambda w: w.since))) for node, each in found.items()]


def _waited(waits: Sequence[Wait]) -> Clocked:
    return Clocked(waits[0].since, ", ".join(dict.fromkeys(wait.what for wait in waits)))


def _named(name: str, doing: Clocked, now: float, width: int, column: int) -> list[Text]:
    margin = " " * INDENT
    clock = Text(elapsed(now - doing.since), "dim")
    label = f"{margin}{name}{' ' * (column - cell_len(name))}"
    rest = width - cell_len(label) - len(GAP)
    above: list[Text] = []
    if rest < LEAST:  # the name has its own row
        above, label = _wrapped(Text(margin + name), width), margin
        rest = max(1, width - 2 * INDENT)
    figures = (*_figures(doing, bar=False), clock)
    line = _joined(Text(doing.title), *figures)
    if line.cell_len <= rest:
        detail = _cut(doing.detail or doing.usual, rest - line.cell_len - len(GAP))
        rows = [_joined(line, Text(detail, "dim"))]
    else:
        rows = [*_wrapped(Text(doing.title), rest), _joined(*figures)]
    hang = " " * (cell_len(label) + len(GAP))
    labels = [Text(label + GAP), *(Text(hang) for _ in rows[1:])]
    return [*above, *(left + right for left, right in zip(labels, rows, strict=True))]


def _cut(detail: str, room: int) -> str:
    """As much of a detail as has the room: whole figures of several, part of a log's line, or
    nothing.
    """
    text = Text(detail)
    if text.cell_len <= room:
        return detail
    text.truncate(room, overflow="ellipsis")
    figures, comma, _ = text.plain.rpartition(", ")
    if comma:
        return f"{figures}, …"
    return text.plain if room >= SOME else ""


def _figures(doing: Clocked, *, bar: bool = True) -> tuple[Text, ...]:
    """The bar and the percentage, if there is one."""
    if doing.percent is None:
        return ()
    done = min(BAR, doing.percent * BAR // 100)
    parts = (("━" * done, "green"), ("─" * (BAR - done), "dim"), GAP) if bar else ()
    return (Text.assemble(*parts, f"{doing.percent}%"),)


def _joined(*parts: Text) -> Text:
    return Text(GAP).join(part for part in parts if part)


def _indented(text: Text, width: int) -> list[Text]:
    margin = Text(" " * INDENT)
    return [margin + row for row in _wrapped(text, width - INDENT)] if text else []


def _wrapped(text: Text, width: int) -> list[Text]:
    """Rows of so many columns, at least one, broken between words, and within what is wider."""
    width = max(1, width)
    return [row for line in broken(text, width, INDENT) for row in _chopped(line, width)]


def _chopped(line: Text, width: int) -> list[Text]:
    """The line in rows of so many columns, broken anywhere."""
    rows = []
    while line.cell_len > width:
        ends = range(len(line), 0, -1)
        at = next((end for end in ends if cell_len(line.plain[:end]) <= width), 1)
        first, line = line.divide([at])
        rows.append(first)
    return [*rows, line]
