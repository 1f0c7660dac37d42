"""Prose in lines of so many columns, broken between words; needs of rich its table of widths alone,
whose import takes a tenth of that of its console.
"""

from __future__ import annotations

import re
from itertools import pairwise

from rich.cells import cell_len

from sparkctl.text import clean

# A command in backticks is one word, so that it can be copied; a stray backtick binds no paragraph.
WORD = re.compile(r"\s*(?:`[^`]{1,60}`|\S)+")
HANG, DEEPER = 2, 4  # spaces before what goes on of a line; of one that is indented itself


def breaks(text: str, width: int, hang: int = 0) -> list[int]:
    """Where the lines of one line begin after the first: each has at most `width` columns, all but
    the first after `hang` spaces.

    It is broken between words only, so that a path and a command in backticks stay whole.
    """
    offsets: list[int] = []
    used = 0
    for word in WORD.finditer(text):
        length = cell_len(word[0])
        if used and used + length > width:
            start = word.end() - len(word[0].lstrip())
            offsets.append(start)
            used, length = hang, cell_len(text[start : word.end()])
        used += length
    return offsets


def wrapped(text: str, width: int, hang: int | None = None) -> list[str]:
    """The lines of a cleaned text; what goes on of a line is after `hang` spaces, or further in
    than its begin.
    """
    return [part for line in clean(text).split("\n") for part in _wrapped(line, width, hang)]


def _wrapped(line: str, width: int, hang: int | None) -> list[str]:
    if hang is None:
        indent = len(line) - len(line.lstrip(" "))
        hang = indent + DEEPER if indent else HANG
    offsets = [0, *breaks(line, width, hang), len(line)]
    parts = [line[a:b].rstrip() for a, b in pairwise(offsets)]
    return [parts[0], *(" " * hang + part for part in parts[1:])]
