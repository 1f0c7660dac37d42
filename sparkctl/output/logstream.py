"""A node's log, as it comes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sparkctl.output.clean import raw
from sparkctl.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable


def print_log(texts: Iterable[str]) -> bool:
    """Print them on stdout, each at once; whether there was any.

    A terminal gets no colours and other escape sequences, a file or pipe the bytes as they are.
    """
    out = raw(sys.stdout)
    printed = False
    for text in texts:
        printed = True
        out.write(plain(text) if out.isatty() else text)
        out.flush()
    return printed
