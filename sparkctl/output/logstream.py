"""Logs of nodes, as they come: one as it is, several with a prefix to each line."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from itertools import cycle
from typing import TYPE_CHECKING, TextIO

from sparkctl.output.clean import raw
from sparkctl.output.failure import show_log, show_one
from sparkctl.output.stdio import print_err
from sparkctl.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sparkctl.operations.logs.read import Piece
    from sparkctl.operations.logs.selection import Log

LONGEST = 2**18  # characters of a line, which goes on in another one after them
END = re.compile(
    r"\r\n|\n|\r"
)  # a carriage return ends a line, as a progress bar overwrites its own
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of ECMA-48's SGR


class LogPrinter:
    """Prints the pieces of these logs on stdout, each at once, and notes and errors on stderr.

    One log: a terminal gets no colours and other escape sequences, a file or pipe the bytes as they
    are. Several: whole lines without escape sequences, each after its log's name.
    """

    def __init__(self, logs: Sequence[Log]) -> None:
        self.failed = False  # whether the log of one of several failed
        self._out = raw(sys.stdout)
        self._lines = _lines(logs, self._out) if len(logs) > 1 else {}

    def show(self, pieces: Iterable[Piece]) -> None:
        """Print them all. Raises the error of a single log."""
        for piece in pieces:
            self._write(piece)
            if piece.note:
                print_err(f"{piece.log.unit}: {piece.note}" if piece.log else piece.note)
            if piece.error and not self._lines:
                raise piece.error
            if piece.error:
                show_one(piece.error)
                self.failed = True
        if self.failed:
            show_log()

    def _write(self, piece: Piece) -> None:
        lines = self._lines.get(_key(piece.log)) if piece.log else None
        if lines:
            text = lines.fed(piece.text, ended=piece.ended or bool(piece.error))
        else:
            text = plain(piece.text) if self._out.isatty() else piece.text
        if text:
            self._out.write(text)
            self._out.flush()


class Lines:
    """The lines of a log, each with a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._rest = ""  # of a line whose end is still to come

    def fed(self, text: str, *, ended: bool = False) -> str:
        """The lines that are whole with this text, or all if the log has `ended`."""
        text = self._rest + text
        *whole, self._rest = END.split(text)
        if text.endswith("\r") and not ended and len(whole[-1]) < LONGEST:
            self._rest = f"{whole.pop()}\r"  # the line feed may be still to come
        if self._rest and (ended or len(self._rest) > LONGEST):
            whole.append(self._rest)
            self._rest = ""
        return "".join(f"{self._prefix}{plain(line)}\n" for line in whole)


def _lines(logs: Sequence[Log], out: TextIO) -> dict[tuple[str, str], Lines]:
    """Those of each log, after a prefix such as `spark-1 ray | `; aligned."""
    short = [f"{log.node.name} {log.kind}" for log in logs]
    count = Counter(short)
    names = [s if count[s] == 1 else log.unit for s, log in zip(short, logs, strict=True)]
    width = max(map(len, names))
    bar = "\u2502" if out.isatty() else "|"
    colours = cycle(COLOURS if _coloured(out) else (0,))
    return {
        _key(log): Lines(_painted(f"{name:{width}} {bar}", colour) + " ")
        for log, name, colour in zip(logs, names, colours, strict=False)
    }


def _key(log: Log) -> tuple[str, str]:
    return log.node.name, log.unit


def _painted(text: str, colour: int) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _coloured(out: TextIO) -> bool:
    dumb = os.environ.get("TERM") in ("dumb", "unknown")
    return out.isatty() and not dumb and not os.environ.get("NO_COLOR")
