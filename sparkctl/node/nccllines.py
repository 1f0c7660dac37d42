"""NCCL's and Gloo's lines in a log on the node, so that gigabytes need not be sent."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from sparkctl.node import errorlines, logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkctl.node.logwire import Log
    from sparkctl.node.wire import Answer

NEEDLES = (b"NCCL", b"Unable to find address for")  # the second is Gloo's
START = errorlines.START
MOST_LINES, MOST_BYTES = 20_000, 4096
LINE_LIMIT = 1 << 16


def lines(request: Log) -> Answer:
    """`lines` of NCCL and Gloo since the last start in the log at `path`, or else the last of
    `unit`: number (from 1) and text, each cut at 4096 bytes; `cut` is the number of the last one
    if there are more than 20,000. `tail` has the last 400 lines of any kind since that start,
    `errors` those, the ones around errors, and stalls (node/errorlines.py), with their
    numbers; `path` is the log's.
    """
    path = logs.named(request)
    found: list[tuple[int, str]] = []
    errors = errorlines.ErrorLines()
    cut = before = number = 0
    for file in filter(Path.is_file, logs.parts(path)):
        before = number
        with file.open("rb") as stream:
            for line, piece in pieces(stream):
                number = before + line
                errors.take(number, piece)
                if piece.startswith(START):
                    found, cut = [], 0
                    continue
                if len(found) < MOST_LINES:
                    found += [(number, text) for text in _matching(piece)]
                elif _matches(piece):
                    cut = found[-1][0]
    return {
        "lines": found,
        "cut": cut,
        "tail": errors.tail(),
        "errors": errors.rows(),
        "path": str(path),
    }


def _matching(line: bytes) -> list[str]:
    """The parts of a line that match: what a progress bar wrote before them may be long."""
    parts = line.split(b"\r") if _matches(line) else []
    return [part[:MOST_BYTES].decode(errors="replace") for part in parts if _matches(part)]


def _matches(text: bytes) -> bool:
    return NEEDLES[0] in text or NEEDLES[1] in text


def pieces(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """A log's lines with their numbers, from 1. A line longer than LINE_LIMIT is split at carriage
    returns, each part cut at LINE_LIMIT, so that none fills the memory.
    """
    number, piece = 1, b""
    while chunk := stream.readline(LINE_LIMIT):
        if piece or not chunk.endswith(b"\n"):
            first, *others = chunk.split(b"\r")
            piece = (piece + first)[:LINE_LIMIT]
            for other in others:
                yield number, piece
                piece = other
        else:
            piece = chunk
        if chunk.endswith(b"\n"):
            yield number, piece
            number, piece = number + 1, b""
    if piece:
        yield number, piece
